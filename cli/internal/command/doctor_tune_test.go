package command

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// slowColumns is a device whose direct convolutions are twice as fast, and whose flash attention is wrong.
type slowColumns struct{}

func (slowColumns) Build() string { return "fake" }

func (slowColumns) Try(_ context.Context, t backend.Trial, values []float32) (time.Duration, error) {
	for i := range values {
		values[i] = float32(i%7) + 1
		if t.FlashAttention == "on" && t.Device != "cpu" {
			values[i] = -values[i]
		}
	}
	took := time.Duration(t.Batch*t.Height*t.Width) * time.Microsecond
	if t.Convolution == "direct" {
		took /= 2
	}
	return took, nil
}

func TestDoctorTunes(t *testing.T) {
	b := newBench(t)
	b.native.trier = slowColumns{}
	b.native.devices = []backend.Device{{ID: "cuda:0", Description: "a GPU", Driver: "driver 1", Kind: backend.DeviceGPU},
		{ID: "vulkan:0", Description: "llvmpipe", Kind: backend.DeviceGPU, Software: true}, {ID: "cpu", Kind: backend.DeviceCPU}}
	require.Equal(t, ExitOK, b.run("doctor"))
	assert.Contains(t, b.stdout, "cuda:0: not measured yet")
	assert.Contains(t, b.stdout, "vulkan:0: not measured; a software device is measured by --tune --device vulkan:0 only")

	require.Equal(t, ExitOK, b.run("doctor", "--tune"))
	assert.Contains(t, b.stdout, "cuda:0: direct convolutions, plain attention, guidance in one batch, VAE tiles of 448")
	assert.Contains(t, b.stdout, "attention      flash     wrong: the result differs from the CPU's")
	assert.NotContains(t, b.stdout, "vulkan:0: direct", "software devices are measured where they are named")

	require.Equal(t, ExitOK, b.run("doctor", "--json"))
	var d struct {
		Tuning []struct {
			Device  string
			Driver  string
			Choices map[string]any
		}
	}
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &d))
	require.Len(t, d.Tuning, 1, "what was measured is shown later, too")
	assert.Equal(t, []any{"cuda:0", "driver 1", "direct", "plain"},
		[]any{d.Tuning[0].Device, d.Tuning[0].Driver, d.Tuning[0].Choices["convolution"], d.Tuning[0].Choices["attention"]})

	require.Equal(t, ExitOK, b.run("doctor", "--tune", "--device", "vulkan:0"))
	assert.Contains(t, b.stdout, "vulkan:0: direct convolutions")
	assert.Contains(t, b.stdout, "layers of small size")

	require.Equal(t, ExitUsage, b.run("doctor", "--tune", "--device", "cuda:7"))
	require.Equal(t, ExitUsage, b.run("doctor", "--device", "cuda:0"))
	b.native.devices = b.native.devices[2:]
	require.Equal(t, ExitOK, b.run("doctor", "--tune"))
	assert.Contains(t, b.stdout, "no GPU is here")
}
