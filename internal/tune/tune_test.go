package tune

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

var gpu = backend.Device{ID: "vulkan:0", Description: "a GPU", Driver: "driver 1", Kind: backend.DeviceGPU}

// fakeTrier has kernels of a given speed, and faults.
type fakeTrier struct {
	factor func(t backend.Trial) float64 // of the time of a layer; nil: 1
	fault  func(t backend.Trial) error   // nil: none
	wrong  func(t backend.Trial) bool    // nil: never
	tried  func(t backend.Trial)         // nil: nobody looks
	calls  int
}

func (f *fakeTrier) Build() string { return "build 1" }

func (f *fakeTrier) Try(ctx context.Context, t backend.Trial, values []float32) (time.Duration, error) {
	f.calls++
	if f.tried != nil {
		f.tried(t)
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if f.fault != nil && t.Device != "cpu" {
		if err := f.fault(t); err != nil {
			return 0, err
		}
	}
	for i := range values {
		values[i] = float32(i%7) + 1
		if t.Device != "cpu" && f.wrong != nil && f.wrong(t) && i%5 == 0 {
			values[i] *= 1.5
		}
	}
	s := 1e-9 * float64(t.Batch*t.Height*t.Width)
	if f.factor != nil {
		s *= f.factor(t)
	}
	return time.Duration(s * float64(time.Second)), nil
}

func newTuner(t *testing.T, f *fakeTrier) *Tuner {
	return &Tuner{Trier: f, Build: "build 1", Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
}

func direct(t backend.Trial) bool {
	return t.Kind == backend.TrialConv2D && t.Convolution == Direct
}

func plain(t backend.Trial) bool {
	return t.Kind == backend.TrialAttention && t.FlashAttention == "off"
}

func TestTheFastestIsChosen(t *testing.T) {
	faster := func(which func(backend.Trial) bool, factor float64) func(backend.Trial) float64 {
		return func(t backend.Trial) float64 {
			if which(t) {
				return factor
			}
			return 1
		}
	}
	tile := func(t backend.Trial) bool { return t.Kind == backend.TrialConv2D && t.In == sdxlLayers.tileWidth }
	for name, c := range map[string]struct {
		factor func(backend.Trial) float64
		want   Choices
	}{
		"everything alike: the defaults": {nil, Choices{IM2Col, Flash, Joint, defaultTile}},
		"a little faster is noise": {faster(func(t backend.Trial) bool { return direct(t) || plain(t) }, 0.98),
			Choices{IM2Col, Flash, Joint, defaultTile}},
		"direct convolutions": {faster(direct, 0.5), Choices{Direct, Flash, Joint, defaultTile}},
		"plain attention, as where flash attention is slow (sd.cpp 1186)": {faster(plain, 0.5), Choices{IM2Col, Plain, Joint, defaultTile}},
		"a batch of two that costs more than twice one": {faster(func(t backend.Trial) bool { return t.Batch == 1 && !tile(t) }, 0.8),
			Choices{IM2Col, Flash, Separate, defaultTile}},
		"large tiles": {faster(func(t backend.Trial) bool { return tile(t) && t.Height == 640 }, 0.9), Choices{IM2Col, Flash, Joint, 640}},
		"small tiles": {faster(func(t backend.Trial) bool { return tile(t) && t.Height == 256 }, 0.9), Choices{IM2Col, Flash, Joint, 256}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := newTuner(t, &fakeTrier{factor: c.factor}).Measure(t.Context(), gpu, backend.TypeF16)
			require.NoError(t, err)
			assert.Equal(t, c.want, r.Choices)
			assert.Empty(t, r.Refused())
		})
	}
}

func TestFaultsAreNamedAndNotChosen(t *testing.T) {
	oom := fmt.Errorf("compute buffer: %w", backend.ErrOutOfMemory)
	for name, c := range map[string]struct {
		trier   fakeTrier
		setting string
		value   string
		status  Status
		want    Choices
	}{
		"a wrong flash attention": {fakeTrier{wrong: func(t backend.Trial) bool {
			return t.FlashAttention == "on" && t.Kind == backend.TrialAttention
		}},
			"attention", Flash, Wrong, Choices{Convolution: IM2Col, Attention: Plain, Guidance: Joint, TileSize: defaultTile}},
		"sums in half precision": {fakeTrier{wrong: func(t backend.Trial) bool { return direct(t) && t.Amplitude > 1 }},
			"convolution", Direct, Wrong, Choices{Convolution: IM2Col, Attention: Flash, Guidance: Joint, TileSize: defaultTile}},
		"no memory for columns": {fakeTrier{fault: func(t backend.Trial) error {
			if t.Kind == backend.TrialConv2D && t.Convolution == IM2Col {
				return oom
			}
			return nil
		}}, "convolution", IM2Col, NoMemory, Choices{Convolution: Direct, Attention: Flash, Guidance: Joint, TileSize: defaultTile}},
		"no direct kernel": {fakeTrier{fault: func(t backend.Trial) error {
			if direct(t) {
				return backend.ErrUnsupported
			}
			return nil
		}}, "convolution", Direct, Unsupported, Choices{Convolution: IM2Col, Attention: Flash, Guidance: Joint, TileSize: defaultTile}},
		"a driver that fails": {fakeTrier{fault: func(t backend.Trial) error {
			if plain(t) {
				return fmt.Errorf("device lost")
			}
			return nil
		}}, "attention", Plain, Failed, Choices{Convolution: IM2Col, Attention: Flash, Guidance: Joint, TileSize: defaultTile}},
	} {
		t.Run(name, func(t *testing.T) {
			tuner := newTuner(t, &c.trier)
			r, err := tuner.Measure(t.Context(), gpu, backend.TypeF16)
			require.NoError(t, err)
			assert.Equal(t, c.want, r.Choices)
			i := slices.IndexFunc(r.Candidates, func(k Candidate) bool { return k.Setting == c.setting && k.Value == c.value })
			require.GreaterOrEqual(t, i, 0)
			assert.Equal(t, c.status, r.Candidates[i].Status)
			assert.NotEmpty(t, r.Candidates[i].Reason)
			require.Len(t, r.Refused(), 1)
			assert.Contains(t, r.Refused()[0], c.setting+" "+c.value)
		})
	}
}

func TestNothingWorks(t *testing.T) {
	f := &fakeTrier{fault: func(backend.Trial) error { return backend.ErrUnsupported }}
	r, err := newTuner(t, f).Measure(t.Context(), gpu, backend.TypeF16)
	require.NoError(t, err)
	assert.Zero(t, r.Choices)
	assert.Len(t, r.Refused(), len(r.Candidates))
}

func TestCacheIsOfDeviceDriverBuildAndType(t *testing.T) {
	f := &fakeTrier{}
	tuner := newTuner(t, f)
	first, ok, err := tuner.Choose(t.Context(), gpu, backend.TypeF16)
	require.NoError(t, err)
	require.True(t, ok)
	calls := f.calls
	again, ok, err := tuner.Choose(t.Context(), gpu, backend.TypeF16)
	require.NoError(t, err)
	assert.True(t, ok)
	assert.Equal(t, first, again)
	assert.Equal(t, calls, f.calls, "nothing is measured twice")
	other := gpu
	other.Driver = "driver 2"
	for name, change := range map[string]func() (backend.Device, backend.Type){
		"driver": func() (backend.Device, backend.Type) { return other, backend.TypeF16 },
		"type":   func() (backend.Device, backend.Type) { return gpu, backend.TypeF32 },
		"build":  func() (backend.Device, backend.Type) { tuner.Build = "build 2"; return gpu, backend.TypeF16 },
	} {
		d, typ := change()
		before := f.calls
		_, _, err := tuner.Choose(t.Context(), d, typ)
		require.NoError(t, err)
		assert.Greater(t, f.calls, before, name)
	}
}

func TestDamagedAndForeignFilesAreMeasuredAgain(t *testing.T) {
	f := &fakeTrier{}
	tuner := newTuner(t, f)
	_, err := tuner.Measure(t.Context(), gpu, backend.TypeF16)
	require.NoError(t, err)
	path := tuner.path(gpu, backend.TypeF16, ".json")
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for name, data := range map[string]string{
		"empty":           "",
		"cut":             string(whole[:len(whole)/2]),
		"no JSON":         "\x00\x01\x02",
		"another schema":  strings.Replace(string(whole), `"schema": 1`, `"schema": 2`, 1),
		"another device":  strings.Replace(string(whole), "a GPU", "b GPU", 1),
		"another driver":  strings.Replace(string(whole), "driver 1", "driver 3", 1),
		"another choice":  strings.Replace(string(whole), `"convolution": "im2col"`, `"convolution": "direct"`, 1),
		"no candidates":   `{"schema":1,"device":"a GPU","driver":"driver 1","build":"build 1","type":"f16","choices":{}}`,
		"chosen and lost": strings.Replace(string(whole), `"status": "ok"`, `"status": "wrong"`, 1),
	} {
		require.NoError(t, os.WriteFile(path, []byte(data), 0o644))
		_, ok := tuner.Load(gpu, backend.TypeF16)
		assert.False(t, ok, name)
		before := f.calls
		_, ok, err := tuner.Choose(t.Context(), gpu, backend.TypeF16)
		require.NoError(t, err, name)
		assert.True(t, ok, name)
		assert.Greater(t, f.calls, before, name)
	}
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o755))
	_, ok := tuner.Load(gpu, backend.TypeF16)
	assert.False(t, ok, "a folder")
}

// The program ends while a candidate is tried: a driver hangs, and somebody kills it.
func TestInterruptedCandidatesAreNotTriedAgain(t *testing.T) {
	f := &fakeTrier{}
	tuner := newTuner(t, f)
	died := `{"pid": 2147483646, "setting": "attention", "value": "flash"}`
	path := tuner.path(gpu, backend.TypeF16, ".running")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(died), 0o644))
	f.tried = func(tr backend.Trial) {
		assert.False(t, tr.Kind == backend.TrialAttention && tr.FlashAttention == "on", "it is not tried again")
	}
	r, _, err := tuner.Choose(t.Context(), gpu, backend.TypeF16)
	require.NoError(t, err)
	assert.Equal(t, Plain, r.Choices.Attention)
	require.Len(t, r.Refused(), 1)
	assert.Contains(t, r.Refused()[0], "attention flash: interrupted")
	assert.NoFileExists(t, path)
	loaded, ok := tuner.Load(gpu, backend.TypeF16)
	assert.True(t, ok)
	assert.Equal(t, Plain, loaded.Choices.Attention)

	f.tried = nil
	r, err = tuner.Measure(t.Context(), gpu, backend.TypeF16)
	require.NoError(t, err)
	assert.Equal(t, Flash, r.Choices.Attention, "asked for, it is tried again")

	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, `{"pid": %d, "setting": "attention", "value": "flash"}`, os.Getppid()), 0o644))
	require.NoError(t, os.Remove(tuner.path(gpu, backend.TypeF16, ".json")))
	_, ok, err = tuner.Choose(t.Context(), gpu, backend.TypeF16)
	assert.ErrorIs(t, err, ErrBusy)
	assert.False(t, ok)
}

func TestWhatIsTriedIsWrittenDownFirst(t *testing.T) {
	f := &fakeTrier{}
	tuner := newTuner(t, f)
	f.tried = func(tr backend.Trial) {
		data, err := os.ReadFile(tuner.path(gpu, backend.TypeF16, ".running"))
		assert.NoError(t, err)
		if tr.Kind == backend.TrialConv2D && tr.Device != "cpu" && tr.Amplitude > 0 {
			assert.Contains(t, string(data), `"convolution","value":"`+tr.Convolution+`"`)
		}
	}
	_, err := tuner.Measure(t.Context(), gpu, backend.TypeF16)
	require.NoError(t, err)
	assert.NoFileExists(t, tuner.path(gpu, backend.TypeF16, ".running"))
}

func TestCancelling(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &fakeTrier{}
	tuner := newTuner(t, f)
	f.tried = func(backend.Trial) {
		if f.calls == 5 {
			cancel()
		}
	}
	_, ok, err := tuner.Choose(ctx, gpu, backend.TypeF16)
	assert.ErrorIs(t, err, context.Canceled)
	assert.False(t, ok)
	_, ok = tuner.Load(gpu, backend.TypeF16)
	assert.False(t, ok)
	assert.NoFileExists(t, tuner.path(gpu, backend.TypeF16, ".running"), "whoever ends it is not the device")
}

func TestWhatIsNotMeasured(t *testing.T) {
	f := &fakeTrier{}
	tuner := newTuner(t, f)
	software := gpu
	software.Software = true
	for _, d := range []backend.Device{{ID: "cpu", Kind: backend.DeviceCPU}, software} {
		_, ok, err := tuner.Choose(t.Context(), d, backend.TypeF16)
		assert.NoError(t, err)
		assert.False(t, ok, d.ID)
	}
	assert.Zero(t, f.calls)
	r, err := tuner.Measure(t.Context(), software, backend.TypeF16)
	require.NoError(t, err)
	assert.Equal(t, "small", r.Size)
	_, ok, err := tuner.Choose(t.Context(), software, backend.TypeF16)
	assert.NoError(t, err)
	assert.True(t, ok, "what somebody had measured is used")
}

func TestFind(t *testing.T) {
	software := backend.Device{ID: "vulkan:1", Kind: backend.DeviceGPU, Software: true}
	all := []backend.Device{gpu, software, {ID: "cpu", Kind: backend.DeviceCPU}}
	found, missing := Find(all, nil)
	assert.Equal(t, []backend.Device{gpu}, found)
	assert.Empty(t, missing)
	found, missing = Find(all, []string{"vulkan:1", "cuda:0"})
	assert.Equal(t, []backend.Device{software}, found)
	assert.Equal(t, "cuda:0", missing)
	assert.Equal(t, []backend.Type{backend.TypeF16, backend.TypeF32, backend.TypeF32, backend.TypeBF16, backend.TypeF16},
		[]backend.Type{TypeFor(backend.PrecisionAuto), TypeFor(backend.PrecisionExact), TypeFor(backend.PrecisionF32),
			TypeFor(backend.PrecisionBF16), TypeFor("")})
}
