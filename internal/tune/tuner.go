package tune

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// schema is the version of the cache's files. Others are measured again.
const schema = 1

// ErrBusy is the error of a device that another process is measuring.
var ErrBusy = errors.New("another process is measuring the device")

// Tuner measures devices and remembers what it found.
type Tuner struct {
	Trier backend.Trier
	Build string // of the library; what another build found counts no more
	Dir   string // of the cache; "" remembers nothing
	Log   *slog.Logger
	Now   func() time.Time // nil: time.Now
}

// Choose returns what is known of a device, and measures where nothing is. A software device is not measured: that takes long, and
// its times say nothing. ok is false where nothing is known.
func (t *Tuner) Choose(ctx context.Context, d backend.Device, typ backend.Type) (r Report, ok bool, err error) {
	if !d.GPU() {
		return r, false, nil
	}
	if r, ok := t.Load(d, typ); ok {
		return r, true, nil
	}
	if d.Software {
		return r, false, nil
	}
	t.Log.Info("measuring how the device computes fastest, once", "device", d.ID, "description", d.Description)
	r, err = t.measure(ctx, d, typ, false)
	return r, err == nil, err
}

// Measure measures a device anew, also what was interrupted before.
func (t *Tuner) Measure(ctx context.Context, d backend.Device, typ backend.Type) (Report, error) {
	return t.measure(ctx, d, typ, true)
}

func (t *Tuner) measure(ctx context.Context, d backend.Device, typ backend.Type, again bool) (Report, error) {
	now := t.Now
	if now == nil {
		now = time.Now
	}
	began := now()
	m := measuring{Tuner: t, device: d, typ: typ, layers: sdxlLayers, reference: map[backend.Trial][]float32{}}
	if d.Software {
		m.layers = smallLayers
	}
	m.report = Report{Schema: schema, Device: d.Description, Driver: d.Driver, Build: t.Build, Type: string(typ), Size: m.layers.name,
		Measured: began.UTC().Format(time.RFC3339)}
	var err error
	if m.interrupted, err = t.interrupted(d, typ); err != nil {
		return m.report, err
	}
	if again {
		m.interrupted = nil
	}
	if err := m.settings(ctx); err != nil {
		return m.report, err
	}
	m.report.Seconds = took(now().Sub(began))
	for _, line := range m.report.Refused() {
		t.Log.Warn("a way of computing cannot be used on "+d.ID, "which", line)
	}
	t.Log.Info("measured", "device", d.ID, "chosen", m.report.Choices.String(), "seconds", m.report.Seconds)
	return m.report, t.store(d, typ, m.report)
}

// TypeFor is the type of weights that trials have for a precision.
func TypeFor(p backend.Precision) backend.Type {
	switch p {
	case backend.PrecisionExact, backend.PrecisionF32:
		return backend.TypeF32
	case backend.PrecisionBF16:
		return backend.TypeBF16
	}
	return backend.TypeF16
}

// Find returns the devices with the given IDs; without IDs all GPUs that no CPU plays.
func Find(devices []backend.Device, ids []string) (found []backend.Device, missing string) {
	for _, d := range devices {
		if len(ids) == 0 && d.GPU() && !d.Software || slices.Contains(ids, d.ID) {
			found = append(found, d)
		}
	}
	for _, id := range ids {
		if !slices.ContainsFunc(found, func(d backend.Device) bool { return d.ID == id }) {
			missing = cmp.Or(missing, id)
		}
	}
	return found, missing
}
