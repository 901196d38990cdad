package bench

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

func openFake(b *fake.Backend) Opener {
	return func(ctx context.Context, cfg pipeline.Config, opts ...pipeline.OpenOption) (*pipeline.Pipeline, error) {
		return pipeline.Open(ctx, cfg, append(opts, pipeline.WithBackend(b))...)
	}
}

func testSession() Session {
	return Session{
		Case:      Case{Model: "m", Type: "q8_0", Width: 64, Height: 64, Batch: 2, Device: "cpu", Scheduler: "EulerDiscrete"},
		Path:      "nano",
		Type:      backend.TypeAuto,
		Precision: backend.PrecisionAuto,
		Steps:     3,
		Warmup:    1,
		Prompts:   []Prompt{{Prompt: "one", Seed: 1}, {Prompt: "two", Seed: 3}, {Prompt: "one", Seed: 5}},
	}
}

// Times are those of the operations: each of them sleeps for a time of its own.
func TestMeasure(t *testing.T) {
	const open, text, step, decode = 30 * time.Millisecond, 20 * time.Millisecond, 10 * time.Millisecond, 40 * time.Millisecond
	sleeps := map[fake.Op]time.Duration{fake.OpOpen: open, fake.OpEncodeText: text / 2, fake.OpUNet: step, fake.OpDecodeLatents: decode / 2}
	b := &fake.Backend{Hook: func(_ context.Context, c fake.Call) error { time.Sleep(sleeps[c.Op]); return nil }}
	s := testSession()
	s.Keep = t.TempDir()
	joules := 0.0
	out, err := Measure(
		t.Context(),
		openFake(b),
		Probe{PeakRSS: func() int64 { return 77 }, Energy: func() (float64, bool) { joules += 12; return joules, true }},
		s,
	)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, out.Load, open.Seconds())
	require.Len(t, out.Runs, 3)
	for i, r := range out.Runs {
		require.Len(t, r.Steps, 3, "warming up does not count")
		for _, x := range r.Steps {
			assert.GreaterOrEqual(t, x, step.Seconds())
		}
		assert.GreaterOrEqual(t, r.Decode, decode.Seconds())
		assert.GreaterOrEqual(t, r.Total, r.Decode+3*step.Seconds())
		assert.Equal(t, i < 2, r.Text > 0, "a prompt that was there before may have been kept")
	}
	assert.GreaterOrEqual(t, out.Runs[0].Text, text.Seconds())
	assert.Equal(t, 1+3*3, b.Count(fake.OpUNet), "warm-up steps and those that count")
	assert.EqualValues(t, 77, out.PeakRSS)
	assert.InDelta(t, 12.0/6, out.Joules, 1e-9, "of six pictures")
	assert.Zero(t, out.DeviceBytes)
	var names []string
	for _, c := range out.Components {
		names = append(names, c.Name)
		if c.Name == "unet" || c.Name == "vae_decoder" {
			assert.Positive(t, c.ComputeBytes, c.Name)
		}
	}
	assert.Equal(t, []string{"text_encoder", "text_encoder_2", "unet", "vae_encoder", "vae_decoder"}, names)
	assert.Greater(t, out.NativePeak, int64(27_500), "the fake's weights, and a buffer")
	require.Len(t, out.Images, 6)
	for _, k := range out.Images {
		assert.FileExists(t, k.Picture)
		assert.FileExists(t, k.Latents)
	}
	assert.Equal(t, "one", out.Images[0].Prompt)
	assert.EqualValues(t, 2, out.Images[1].Seed)
	assert.Zero(t, b.LiveModels())
}

func TestMeasureWithoutWarmup(t *testing.T) {
	b := &fake.Backend{}
	s := testSession()
	s.Warmup = 0
	out, err := Measure(t.Context(), openFake(b), Probe{}, s)
	require.NoError(t, err)
	assert.Equal(t, 9, b.Count(fake.OpUNet))
	assert.Zero(t, out.PeakRSS)
	assert.Zero(t, out.Joules)
	assert.Empty(t, out.Images)
}

// What the device had free at the beginning less what it had at least.
func TestMeasureDeviceMemory(t *testing.T) {
	free := []int64{1000, 900, 300, 500}
	calls := 0
	devices := func(context.Context) ([]backend.Device, error) {
		v := free[min(calls, len(free)-1)]
		calls++
		return []backend.Device{
			{ID: "cpu", Kind: backend.DeviceCPU, FreeBytes: 1},
			{ID: "vulkan:0", Kind: backend.DeviceGPU, FreeBytes: v},
		}, nil
	}
	s := testSession()
	s.Case.Device = "vulkan:0"
	out, err := Measure(t.Context(), openFake(&fake.Backend{}), Probe{Devices: devices}, s)
	require.NoError(t, err)
	assert.EqualValues(t, 700, out.DeviceBytes)
}

func TestMeasureFails(t *testing.T) {
	broken := errors.New("broken")
	for _, op := range []fake.Op{fake.OpOpen, fake.OpEncodeText, fake.OpUNet, fake.OpDecodeLatents} {
		b := &fake.Backend{Hook: func(_ context.Context, c fake.Call) error {
			if c.Op == op {
				return broken
			}
			return nil
		}}
		_, err := Measure(t.Context(), openFake(b), Probe{}, testSession())
		assert.ErrorIs(t, err, broken, op)
		assert.Zero(t, b.LiveModels(), op)
	}
	s := testSession()
	s.Keep = "/dev/null/x"
	b := &fake.Backend{}
	_, err := Measure(t.Context(), openFake(b), Probe{}, s)
	var path *os.PathError
	assert.ErrorAs(t, err, &path)
	assert.Zero(t, b.LiveModels())
	ctx, cancel := context.WithCancel(t.Context())
	b = &fake.Backend{Hook: func(_ context.Context, c fake.Call) error {
		if c.Op == fake.OpUNet && c.Nth == 2 {
			cancel()
		}
		return nil
	}}
	_, err = Measure(ctx, openFake(b), Probe{}, testSession())
	assert.ErrorIs(t, err, context.Canceled)
	assert.Zero(t, b.LiveModels())
}
