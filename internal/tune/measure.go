package tune

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

const (
	// tolerance is how far a device may be from the CPU, as relative L2. Half precision has 1e-3; a wrong kernel is off by 0.1 and more.
	tolerance = 1e-2
	// enough is how much faster than the default another way must be.
	enough = 0.97
	// usual is the share of a tile that its neighbours do not have, by package vae's overlap.
	usual = 0.75
)

// measuring is one Measure.
type measuring struct {
	*Tuner
	device      backend.Device
	typ         backend.Type
	layers      layers
	interrupted *Candidate // by the program's end, the last time
	reference   map[backend.Trial][]float32
	report      Report
}

// settings measures all of them, each with what was chosen before.
func (m *measuring) settings(ctx context.Context) error {
	for _, setting := range []struct {
		name   string
		values []string // the default first
		try    func(ctx context.Context, value string) (Candidate, error)
		choose func(value string)
	}{
		{"convolution", []string{IM2Col, Direct}, m.convolution, func(v string) { m.report.Choices.Convolution = v }},
		{"attention", []string{Flash, Plain}, m.attention, func(v string) { m.report.Choices.Attention = v }},
		{"guidance", []string{Joint, Separate}, m.guidance, func(v string) { m.report.Choices.Guidance = v }},
		{"vae_tile_size", m.tileNames(), m.tile, func(v string) { m.report.Choices.TileSize, _ = strconv.Atoi(v) }},
	} {
		first := len(m.report.Candidates)
		for _, value := range setting.values {
			c, err := m.candidate(ctx, setting.name, value, setting.try)
			if err != nil {
				return err
			}
			m.report.Candidates = append(m.report.Candidates, c)
		}
		if best := fastest(m.report.Candidates[first:]); best >= 0 {
			m.report.Candidates[first+best].Chosen = true
			setting.choose(setting.values[best])
		}
	}
	return nil
}

// fastest chooses among candidates, of which the first is the default; -1: none works.
func fastest(list []Candidate) int {
	best := -1
	for i, c := range list {
		switch {
		case c.Status != OK:
		case best < 0, c.Seconds < enough*list[best].Seconds:
			best = i
		}
	}
	return best
}

// candidate tries one value. An error ends the measuring: it was cancelled, or the cache cannot be written.
func (m *measuring) candidate(ctx context.Context, setting, value string, try func(context.Context, string) (Candidate, error)) (Candidate,
	error) {
	refused := Candidate{Setting: setting, Value: value}
	if i := m.interrupted; i != nil && i.Setting == setting && i.Value == value {
		refused.Status, refused.Reason = Interrupted, "the program ended while it was tried; `daguerre doctor --tune` tries it again"
		return refused, nil
	}
	if err := m.begin(m.device, m.typ, refused); err != nil {
		return refused, err
	}
	c, err := try(ctx, value)
	m.end(m.device, m.typ)
	if ctx.Err() != nil {
		return refused, ctx.Err()
	}
	if err != nil {
		refused.Status, refused.Reason, refused.Error = statusOf(err), err.Error(), c.Error
		return refused, nil
	}
	c.Setting, c.Value, c.Status = setting, value, OK
	return c, nil
}

// errWrong is the error of a device that computes something else than the CPU.
var errWrong = errors.New("the result differs from the CPU's")

func statusOf(err error) Status {
	switch {
	case errors.Is(err, errWrong):
		return Wrong
	case errors.Is(err, backend.ErrOutOfMemory):
		return NoMemory
	case errors.Is(err, backend.ErrUnsupported):
		return Unsupported
	}
	return Failed
}

func (m *measuring) convolution(ctx context.Context, value string) (Candidate, error) {
	return m.checked(ctx, backend.TrialConv2D, Choices{Convolution: value}, m.layers.convs)
}

func (m *measuring) attention(ctx context.Context, value string) (Candidate, error) {
	return m.checked(ctx, backend.TrialAttention, Choices{Attention: value}, m.layers.attentions)
}

// checked compares small layers with the CPU's, and then times large ones.
func (m *measuring) checked(ctx context.Context, kind backend.TrialKind, way Choices, timed []backend.Trial) (c Candidate, err error) {
	for _, t := range checks(kind) {
		off, err := m.compare(ctx, m.on(t, way))
		c.Error = max(c.Error, off)
		if err != nil {
			return c, err
		}
	}
	for _, t := range timed {
		s, err := m.seconds(ctx, m.on(t, way))
		if err != nil {
			return c, err
		}
		c.Seconds += s
	}
	return c, nil
}

// guidance times a batch of two against two batches of one. Without guidance nothing of it is used.
func (m *measuring) guidance(ctx context.Context, value string) (c Candidate, err error) {
	for _, list := range [][]backend.Trial{m.layers.convs, m.layers.attentions, m.layers.linears} {
		for _, t := range list {
			times := 1.0
			if value == Separate {
				t.Batch, times = 1, 2
			}
			s, err := m.seconds(ctx, m.on(t, m.report.Choices))
			if err != nil {
				return c, err
			}
			c.Seconds += times * s
		}
	}
	return c, nil
}

func (m *measuring) tileNames() []string {
	names := []string{strconv.Itoa(defaultTile)}
	for _, side := range m.layers.tiles {
		if side != defaultTile {
			names = append(names, strconv.Itoa(side))
		}
	}
	return names
}

// tile times the convolutions of the VAE's last level, for a megapixel of what is not shared with neighbours.
func (m *measuring) tile(ctx context.Context, value string) (c Candidate, err error) {
	side, err := strconv.Atoi(value)
	if err != nil {
		return c, err
	}
	side /= m.layers.tileScale
	t := conv(m.layers.tileWidth, side)
	t.Batch = 1
	s, err := m.seconds(ctx, m.on(t, m.report.Choices))
	c.Seconds = s * float64(1<<20) / math.Pow(usual*float64(side), 2)
	return c, err
}

// on completes a trial for the device.
func (m *measuring) on(t backend.Trial, way Choices) backend.Trial {
	t.Device, t.Type = m.device.ID, m.typ
	t.Convolution, t.FlashAttention = IM2Col, "off"
	if way.Convolution != "" {
		t.Convolution = way.Convolution
	}
	if way.Attention == Flash {
		t.FlashAttention = "on"
	}
	return t
}

func (m *measuring) seconds(ctx context.Context, t backend.Trial) (float64, error) {
	t.Repeats = m.layers.repeats
	took, err := m.Trier.Try(ctx, t, nil)
	return took.Seconds(), err
}

// compare computes a layer here and on the CPU, and returns the relative L2 of the difference.
func (m *measuring) compare(ctx context.Context, t backend.Trial) (float64, error) {
	key := t
	key.Device, key.Convolution, key.FlashAttention = "cpu", IM2Col, "off"
	want, ok := m.reference[key]
	if !ok {
		want = make([]float32, t.Values())
		if _, err := m.Trier.Try(ctx, key, want); err != nil {
			return 0, fmt.Errorf("on the CPU: %w", err)
		}
		m.reference[key] = want
	}
	got := make([]float32, t.Values())
	if _, err := m.Trier.Try(ctx, t, got); err != nil {
		return 0, err
	}
	off := relativeL2(got, want)
	if !(off <= tolerance) {
		if math.IsNaN(off) || math.IsInf(off, 0) {
			return tolerance, fmt.Errorf("%w: it is not finite (%s, values up to %g)", errWrong, t.Kind, max(t.Amplitude, 1))
		}
		return off, fmt.Errorf("%w by %.2g (%s, values up to %g)", errWrong, off, t.Kind, max(t.Amplitude, 1))
	}
	return off, nil
}

func relativeL2(got, want []float32) float64 {
	var diff, norm float64
	for i := range want {
		d := float64(got[i]) - float64(want[i])
		diff += d * d
		norm += float64(want[i]) * float64(want[i])
	}
	return math.Sqrt(diff / norm)
}

// took rounds a time for reports.
func took(since time.Duration) float64 { return math.Round(since.Seconds()*1000) / 1000 }
