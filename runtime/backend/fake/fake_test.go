package fake

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

var _ backend.Backend = (*Backend)(nil)

func open(t *testing.T, b *Backend) backend.Model {
	t.Helper()
	m, err := b.Open(t.Context(), backend.ModelConfig{Device: "auto"})
	require.NoError(t, err)
	return m
}

// pattern fills a tensor with values that differ.
func pattern(shape ...int) backend.Tensor {
	x := backend.NewTensor(shape...)
	for i := range x.Data {
		x.Data[i] = scatter(uint32(i)) / 2
	}
	return x
}

func unetInput(n, channels int) backend.UNetInput {
	in := backend.UNetInput{Sample: pattern(n, channels, 4, 6), Context: pattern(n, maxTokens, 2*textWidth), Pooled: pattern(n, pooledDim),
		SizeIDs: pattern(n, 6)}
	for i := range n {
		in.Timesteps = append(in.Timesteps, float32(900-200*i))
	}
	return in
}

func TestVAEUndoesItself(t *testing.T) {
	m := open(t, &Backend{})
	latents := pattern(2, 4, 3, 5)
	pixels, err := m.DecodeLatents(t.Context(), latents)
	require.NoError(t, err)
	require.Equal(t, []int{2, 3, 24, 40}, pixels.Shape)
	moments, err := m.EncodeImage(t.Context(), pixels)
	require.NoError(t, err)
	require.Equal(t, []int{2, 8, 3, 5}, moments.Shape)
	again, err := m.DecodeLatents(t.Context(), backend.Tensor{Shape: []int{1, 4, 3, 5}, Data: moments.Data[:60]})
	require.NoError(t, err)
	assert.InDeltaSlice(t, pixels.Data[:len(again.Data)], again.Data, 1e-5)
	assert.Equal(t, float32(encodedLogVariance), moments.Data[60])
}

func TestHookRecordsAndClose(t *testing.T) {
	broken := errors.New("broken")
	b := &Backend{Hook: func(_ context.Context, c Call) error {
		if c.Op == OpUNet && c.Nth == 1 {
			return broken
		}
		return nil
	}}
	m := open(t, b)
	assert.Equal(t, 1, b.LiveModels())
	assert.Equal(t, "auto", b.Opened()[0].Device)
	out := make([]float32, 2*4*4*6)
	require.NoError(t, m.UNet(t.Context(), unetInput(2, 4), out))
	require.ErrorIs(t, m.UNet(t.Context(), unetInput(2, 4), out), broken)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, m.UNet(ctx, unetInput(2, 4), out), context.Canceled)
	assert.Equal(t, []Call{{Op: OpOpen}, {Op: OpUNet, Batch: 2, Kind: backend.KindSDXLBase, Timestep: 900},
		{Op: OpUNet, Nth: 1, Batch: 2, Kind: backend.KindSDXLBase, Timestep: 900}}, b.Calls())
	require.NoError(t, m.Close())
	require.NoError(t, m.Close())
	assert.Zero(t, b.LiveModels())
}

func TestNoiseScheduleIsSDXLs(t *testing.T) {
	// alphas_cumprod of SDXL's scheduler at 0, 500 and 999; the fake integrates instead of multiplying.
	for timestep, want := range map[float64]float64{0: 0.99915, 500: 0.2763, 999: 0.0047} {
		assert.InDelta(t, want, alphasCumprod(timestep), 0.01)
	}
}

// TestLiveLoRAs: adapters are counted, and a call tells the first weight of each.
func TestLiveLoRAs(t *testing.T) {
	b := &Backend{}
	m := open(t, b)
	bias := backend.RawTensor{Shape: []int{8}, Type: backend.TypeF32, Data: make([]byte, 32)}
	target := backend.LoRATarget{Module: "unet.conv_in", Form: backend.LoRABias, A: bias, Scale: 1}
	l, err := m.(backend.LoRAModel).LoadLoRA(t.Context(), []backend.LoRATarget{target})
	require.NoError(t, err)
	count, bytes := b.LiveLoRAs()
	assert.Equal(t, []int64{1, 32, 32}, []int64{count, bytes, l.Bytes()})
	in := unetInput(1, 4)
	in.LoRAs = []backend.LoRAUse{{LoRA: l, Weights: []float32{0.5}}}
	require.NoError(t, m.UNet(t.Context(), in, make([]float32, 4*4*6)))
	assert.Equal(t, []float32{0.5}, b.Calls()[2].LoRAs)
	require.NoError(t, l.Close())
	count, bytes = b.LiveLoRAs()
	assert.Zero(t, count+bytes)
}
