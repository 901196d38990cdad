package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/daguerre-go/daguerre/internal/npy"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Prompt is what a picture is to show, and its seed.
type Prompt struct {
	Prompt         string `json:"prompt"`
	NegativePrompt string `json:"negative_prompt,omitempty"`
	Seed           int64  `json:"seed"`
}

// Session is one measurement as it is asked for. It is plain data, to be handed to another process.
type Session struct {
	Case      Case              `json:"case"`
	Path      string            `json:"path"`      // the model: a file, a folder, or pipeline.NanoModel
	Type      backend.Type      `json:"type"`      // to bring the weights to; auto: as they are
	Precision backend.Precision `json:"precision"` //
	Threads   int               `json:"threads"`   // 0: the backend's default
	Flash     string            `json:"flash_attention,omitempty"`
	Steps     int               `json:"steps"`
	Guidance  float64           `json:"guidance_scale"` // 0: the model's
	Warmup    int               `json:"warmup"`         // steps of a picture that is not measured; 0: none
	Prompts   []Prompt          `json:"prompts"`        // one run of Case.Batch pictures for each
	// Keep is a folder to write the pictures and latents into; empty: they are not kept.
	Keep string `json:"keep,omitempty"`
}

// Outcome is what a session measured. Times are in seconds.
type Outcome struct {
	Load            float64     `json:"load"`
	Runs            []runTimes  `json:"runs"` // in the order of Session.Prompts
	Precision       string      `json:"precision"`
	PrecisionReason string      `json:"precision_reason,omitempty"`
	Threads         int         `json:"threads"`
	Flash           bool        `json:"flash_attention"`
	Kind            string      `json:"kind"`
	PeakRSS         int64       `json:"peak_rss_bytes,omitempty"`   // of the process; 0: the system does not tell
	DeviceBytes     int64       `json:"device_bytes,omitempty"`     // most that was taken of a GPU's free memory
	Components      []component `json:"components"`                 // native bytes
	NativePeak      int64       `json:"native_peak_bytes"`          // most that the model held at once
	Joules          float64     `json:"joules_per_image,omitempty"` // of the whole machine, where it tells
	Warnings        []string    `json:"warnings,omitempty"`
	Images          []keptFiles `json:"images,omitempty"`
}

// runTimes are the times of one run of a batch.
type runTimes struct {
	Text   float64   `json:"text,omitempty"` // 0 where the session had encoded the prompt before
	Steps  []float64 `json:"steps"`
	Decode float64   `json:"decode"` // of all pictures of the batch
	Total  float64   `json:"total"`
}

// component is the native memory of a part of a model.
type component struct {
	Name           string `json:"name"`
	Type           string `json:"type,omitempty"`
	Device         string `json:"device,omitempty"`
	ParameterBytes int64  `json:"parameter_bytes"`
	ComputeBytes   int64  `json:"compute_bytes,omitempty"` // of its buffers at the session's size
}

// keptFiles names what was kept of one picture.
type keptFiles struct {
	Prompt   string `json:"prompt"`
	Seed     int64  `json:"seed"`
	Picture  string `json:"picture"` // a PNG file
	Latents  string `json:"latents"` // a .npy file
	Checksum uint32 `json:"checksum"`
}

// Opener opens a model: pipeline.Open, or the like with another backend.
type Opener func(ctx context.Context, cfg pipeline.Config, opts ...pipeline.OpenOption) (*pipeline.Pipeline, error)

// Probe tells what the machine does meanwhile. Fields may be nil.
type Probe struct {
	Devices func(ctx context.Context) ([]backend.Device, error) // with their free memory
	Energy  func() (joules float64, ok bool)                    // a counter
	PeakRSS func() int64                                        // of this process, in bytes
}

// Measure runs a session in this process: the model is opened, makes a short picture for warming up, then those that count, and
// is closed. Errors are those of Opener and of pipeline.Pipeline.Generate.
func Measure(ctx context.Context, open Opener, probe Probe, s Session) (out Outcome, err error) {
	free := probe.free(ctx, s.Case.Device)
	began := time.Now()
	pipe, err := open(ctx, pipeline.Config{Model: s.Path, Device: s.Case.Device, Precision: s.Precision, Type: s.Type,
		VAEType: vaeType(s.Type), Threads: s.Threads, FlashAttention: s.Flash,
		WeightCache: -1}) // every session loads as the first one does
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, pipe.Close()) }()
	out.Load = time.Since(began).Seconds()
	m := &meter{ctx: ctx, pipe: pipe, probe: probe, session: s, out: &out, free: free, least: free}
	m.describe()
	if s.Warmup > 0 {
		r := m.request(Prompt{Prompt: "warming up", Seed: 1})
		r.NumInferenceSteps = s.Warmup
		if _, err := pipe.Generate(ctx, r); err != nil {
			return out, fmt.Errorf("warming up: %w", err)
		}
	}
	joules, hasEnergy := probe.energy()
	for i, p := range s.Prompts {
		if err := m.run(i, p); err != nil {
			return out, err
		}
	}
	if after, ok := probe.energy(); ok && hasEnergy && after >= joules {
		out.Joules = (after - joules) / float64(len(s.Prompts)*s.Case.Batch)
	}
	if free > 0 {
		out.DeviceBytes = free - m.least
	}
	if err := m.buffers(); err != nil {
		return out, err
	}
	for _, held := range pipe.MemoryStats() {
		out.NativePeak += held.TotalPeak
	}
	if probe.PeakRSS != nil {
		out.PeakRSS = probe.PeakRSS()
	}
	return out, nil
}

// vaeType keeps the VAE out of quantization, as pipeline.Config says, and brings it to plain types.
func vaeType(t backend.Type) backend.Type {
	switch t {
	case backend.TypeF32, backend.TypeF16, backend.TypeBF16:
		return t
	}
	return backend.TypeAuto
}

// meter is a session that is running.
type meter struct {
	ctx         context.Context
	pipe        *pipeline.Pipeline
	probe       Probe
	session     Session
	out         *Outcome
	free, least int64 // of the device's memory: before, and at least
}

func (m *meter) describe() {
	info := m.pipe.Info()
	m.out.Precision, m.out.PrecisionReason = string(info.Precision), info.PrecisionReason
	m.out.Threads, m.out.Flash, m.out.Kind = info.Threads, info.FlashAttention, string(info.Kind)
	for _, c := range info.Components {
		if c.Loaded {
			m.out.Components = append(m.out.Components,
				component{Name: c.Name, Type: string(c.Type), Device: c.Device, ParameterBytes: c.ParameterBytes})
		}
	}
}

// buffers notes what each component's computing takes at the session's size. The stages run one after the other, and share memory.
func (m *meter) buffers() error {
	info, c := m.pipe.Info(), m.session.Case
	rows := c.Batch
	if m.session.Guidance != request.NoGuidance {
		rows *= 2
	}
	cell := max(info.VAE.Downscale, 1)
	h, w := c.Height/cell, c.Width/cell
	for _, q := range []struct {
		component string
		query     backend.ComputeQuery
	}{
		{"text_encoder", backend.ComputeQuery{Stage: backend.StageText, Batch: 1}},
		{"text_encoder_2", backend.ComputeQuery{Stage: backend.StageText2, Batch: 1}},
		{"unet", backend.ComputeQuery{Stage: backend.StageUNet, Batch: rows, Height: h, Width: w,
			ContextTokens: info.TextEncoder.MaxTokens}},
		{"vae_decoder", backend.ComputeQuery{Stage: backend.StageVAEDecode, Batch: 1, Height: h, Width: w}},
	} {
		i := slices.IndexFunc(m.out.Components, func(x component) bool { return x.Name == q.component })
		if i < 0 {
			continue
		}
		bytes, err := m.pipe.ComputeBytes(q.query)
		if err != nil {
			return fmt.Errorf("the size of the buffers of %s: %w", q.component, err)
		}
		m.out.Components[i].ComputeBytes = bytes
	}
	return nil
}

// request is what is asked of the pipeline for a prompt.
func (m *meter) request(p Prompt) request.Request {
	c := m.session.Case
	r := request.Request{Prompt: p.Prompt, NegativePrompt: p.NegativePrompt, Seed: p.Seed, Width: c.Width, Height: c.Height,
		NumImages: c.Batch, MaxBatch: c.Batch, Scheduler: c.Scheduler, NumInferenceSteps: m.session.Steps,
		GuidanceScale: m.session.Guidance}
	_ = ReadReuse(c.Reuse, &r) // it was read before
	return r
}

// run makes and measures the pictures of one prompt.
func (m *meter) run(i int, p Prompt) error {
	var t runTimes
	result, err := m.pipe.Generate(m.ctx, m.request(p), pipeline.WithProgress(func(at pipeline.Progress) {
		if at.StepTime > 0 {
			t.Steps = append(t.Steps, at.StepTime.Seconds())
		}
		m.look()
	}))
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(m.session.Prompts[:i], func(q Prompt) bool {
		return q.Prompt == p.Prompt && q.NegativePrompt == p.NegativePrompt
	}) {
		t.Text = result.Timings.Text.Seconds()
	}
	t.Decode, t.Total = result.Timings.Decode.Seconds(), result.Timings.Total.Seconds()
	m.out.Runs = append(m.out.Runs, t)
	for _, w := range result.Warnings {
		if !slices.Contains(m.out.Warnings, w) {
			m.out.Warnings = append(m.out.Warnings, w)
		}
	}
	if m.session.Keep == "" {
		return nil
	}
	for _, img := range result.Images {
		if err := m.keep(i, p, img); err != nil {
			return err
		}
	}
	return nil
}

// keep writes a picture and its latents.
func (m *meter) keep(run int, p Prompt, img pipeline.Image) error {
	base := filepath.Join(m.session.Keep, fmt.Sprintf("%d-%d", run, img.Index))
	k := keptFiles{Prompt: p.Prompt, Seed: img.Seed, Picture: base + ".png", Latents: base + ".npy", Checksum: crc32.ChecksumIEEE(img.Pix)}
	f, err := os.Create(k.Picture)
	if err != nil {
		return err
	}
	if err := errors.Join(png.Encode(f, img), f.Close()); err != nil {
		return fmt.Errorf("%s: %w", k.Picture, err)
	}
	if err := npy.WriteFile(k.Latents, npy.Array{Shape: img.Latents.Shape, Data: img.Latents.Data}); err != nil {
		return err
	}
	m.out.Images = append(m.out.Images, k)
	return nil
}

// look notes how much memory the device has left.
func (m *meter) look() {
	if m.free > 0 {
		m.least = min(m.least, cmp.Or(m.probe.free(m.ctx, m.session.Case.Device), m.least))
	}
}

// free is the free memory of a device that is no CPU; 0 where it is one or nothing is known.
func (p Probe) free(ctx context.Context, id string) int64 {
	if p.Devices == nil {
		return 0
	}
	devices, err := p.Devices(ctx)
	if err != nil {
		return 0
	}
	for _, d := range devices {
		if (d.ID == id || (id == "" || id == "auto") && len(devices) > 1) && d.Kind != backend.DeviceCPU && !d.Software {
			return d.FreeBytes
		}
	}
	return 0
}

func (p Probe) energy() (float64, bool) {
	if p.Energy == nil {
		return 0, false
	}
	return p.Energy()
}
