package command

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// skewed is a device whose UNet is wrong by a factor.
type skewed struct {
	*fake.Backend
	factor float32
}

type skewedModel struct {
	backend.Model
	factor float32
}

func (b skewed) Open(ctx context.Context, cfg backend.ModelConfig) (backend.Model, error) {
	m, err := b.Backend.Open(ctx, cfg)
	return skewedModel{m, b.factor}, err
}

func (m skewedModel) UNet(ctx context.Context, in backend.UNetInput, out []float32) error {
	err := m.Model.UNet(ctx, in, out)
	for i := range out {
		out[i] *= m.factor
	}
	return err
}

// deepEnv has a CPU and GPUs: one right, one slightly off, one wrong, one that does not open, and a software one.
func deepEnv() Env {
	var devices []backend.Device
	for _, id := range []string{"cpu", "cuda:0", "cuda:1", "vulkan:0", "vulkan:1", "vulkan:2"} {
		d := backend.Device{ID: id, Kind: backend.DeviceGPU, Software: id == "vulkan:2"}
		if id == "cpu" {
			d.Kind = backend.DeviceCPU
		}
		devices = append(devices, d)
	}
	return Env{Now: time.Now, Native: &fakeNative{lib: testLibrary, devices: devices},
		Open: func(ctx context.Context, cfg pipeline.Config, opts ...pipeline.OpenOption) (*pipeline.Pipeline, error) {
			factor := map[string]float32{"cuda:1": 1.01, "vulkan:0": 1.5}[cfg.Device]
			if cfg.Device == "vulkan:1" {
				return nil, native.ErrDevice
			}
			if factor == 0 {
				factor = 1
			}
			return pipeline.Open(ctx, cfg, append(opts, pipeline.WithBackend(skewed{&fake.Backend{}, factor}))...)
		}}
}

func TestDeepDevices(t *testing.T) {
	env := deepEnv()
	tests, err := deepDevices(t.Context(), env, nil)
	require.NoError(t, err)
	got := map[string]string{}
	for _, x := range tests {
		got[x.Device+" "+x.Asked] = x.Status
		assert.NotEmpty(t, x.Message)
	}
	assert.Equal(t, map[string]string{"cpu exact": checkOK, "cpu auto": checkOK, "cuda:0 exact": checkOK, "cuda:0 auto": checkOK,
		"cuda:1 exact": checkFail, "cuda:1 auto": checkOK, // 1 % is more than exact may be off, and less than other precisions may
		"vulkan:0 exact": checkFail, "vulkan:0 auto": checkFail, "vulkan:1 exact": checkFail, "vulkan:1 auto": checkFail}, got)
	f := deepFinding(tests)
	assert.Equal(t, checkFail, f.Status)
	assert.Equal(t, ExitNative, exitCode(f.err))
	assert.Len(t, f.Details, 1+len(tests))

	tests, err = deepDevices(t.Context(), env, []string{"vulkan:2"})
	require.NoError(t, err)
	require.Len(t, tests, 2, "a software device is tested where it is named")
	assert.Equal(t, checkOK, deepFinding(tests).Status)
	_, err = deepDevices(t.Context(), env, []string{"cuda:7"})
	assert.Equal(t, ExitUsage, exitCode(err))
}

func TestDoctorDeepJSON(t *testing.T) {
	b := newBench(t)
	b.native.devices = []backend.Device{{ID: "cpu", Kind: backend.DeviceCPU}}
	b.run("doctor", "--deep", "--json")
	var d diagnosis
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &d))
	require.Len(t, d.Devices, 2)
	assert.Equal(t, deviceTest{Device: "cpu", Precision: "exact", Asked: "auto", Status: checkOK,
		Message: "agrees with the CPU's exact result", PSNR: mostPSNR, Seconds: d.Devices[1].Seconds}, d.Devices[1])
	require.Equal(t, ExitUsage, b.run("doctor", "--device", "cpu"))
	assert.Contains(t, b.stderr, "give --deep")
}
