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
	in := backend.UNetInput{Sample: pattern(n, channels, 4, 6), Context: pattern(n, maxTokens, 2*textWidth), Pooled: pattern(n, pooledDim), SizeIDs: pattern(n, 6)}
	for i := range n {
		in.Timesteps = append(in.Timesteps, float32(900-200*i))
	}
	return in
}

// slice takes image i out of a batch.
func slice(x backend.Tensor, i int) backend.Tensor {
	n := len(x.Data) / x.Shape[0]
	return backend.Tensor{Shape: append([]int{1}, x.Shape[1:]...), Data: x.Data[i*n : (i+1)*n]}
}

func TestUNetDoesNotDependOnTheBatch(t *testing.T) {
	for _, channels := range []int{4, 9} {
		m := open(t, &Backend{InChannels: channels})
		in := unetInput(3, channels)
		all := make([]float32, 3*4*4*6)
		require.NoError(t, m.UNet(t.Context(), in, all))
		for i := range 3 {
			one := make([]float32, 4*4*6)
			single := backend.UNetInput{Sample: slice(in.Sample, i), Timesteps: in.Timesteps[i : i+1], Context: slice(in.Context, i),
				Pooled: slice(in.Pooled, i), SizeIDs: slice(in.SizeIDs, i)}
			require.NoError(t, m.UNet(t.Context(), single, one))
			assert.Equal(t, all[i*len(one):(i+1)*len(one)], one)
		}
	}
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

func TestTextDependsOnEverything(t *testing.T) {
	m := open(t, &Backend{})
	ids, err := m.Tokenize("A red, circle")
	require.NoError(t, err)
	require.Len(t, ids, 4)
	row := make([]int32, maxTokens)
	row[0] = startToken
	copy(row[1:], ids)
	for i := 5; i < maxTokens; i++ {
		row[i] = endToken
	}
	base := backend.TextInput{Encoder: 1, IDs: [][]int32{row}}
	want, err := m.EncodeText(t.Context(), base)
	require.NoError(t, err)
	require.Equal(t, []int{1, pooledDim}, want.Pooled.Shape)
	for name, change := range map[string]func(*backend.TextInput){
		"encoder":   func(in *backend.TextInput) { in.Encoder = 0 },
		"clip skip": func(in *backend.TextInput) { in.ClipSkip = 1 },
		"custom": func(in *backend.TextInput) {
			r := append([]int32(nil), row...)
			r[2] = vocabSize
			in.IDs, in.Custom = [][]int32{r}, pattern(1, textWidth)
		},
	} {
		in := base
		change(&in)
		got, err := m.EncodeText(t.Context(), in)
		require.NoError(t, err)
		assert.NotEqual(t, want.Hidden.Data, got.Hidden.Data, name)
	}
	bad := append([]int32(nil), row...)
	bad[2] = vocabSize + 1
	_, err = m.EncodeText(t.Context(), backend.TextInput{IDs: [][]int32{bad}, Custom: pattern(1, textWidth)})
	assert.ErrorContains(t, err, "no row")
	_, err = m.EncodeText(t.Context(), backend.TextInput{IDs: [][]int32{row[:5]}})
	assert.ErrorContains(t, err, "has 5 ids")
}

func TestRefusesWrongShapes(t *testing.T) {
	m := open(t, &Backend{})
	for want, change := range map[string]func(*backend.UNetInput){
		"9 channels":  func(in *backend.UNetInput) { in.Sample = pattern(2, 9, 4, 6) },
		"1 timesteps": func(in *backend.UNetInput) { in.Timesteps = in.Timesteps[:1] },
		"context":     func(in *backend.UNetInput) { in.Context = pattern(2, 76, 16) },
		"pooled":      func(in *backend.UNetInput) { in.Pooled = pattern(2, 7) },
		"size ids":    func(in *backend.UNetInput) { in.SizeIDs = pattern(2, 5) },
		"room for":    func(in *backend.UNetInput) { in.Sample = pattern(2, 4, 4, 5) },
		"sample":      func(in *backend.UNetInput) { in.Sample = backend.Tensor{} },
	} {
		in := unetInput(2, 4)
		change(&in)
		assert.ErrorContains(t, m.UNet(t.Context(), in, make([]float32, 2*4*4*6)), want)
	}
	_, err := m.EncodeImage(t.Context(), pattern(1, 3, 8, 9))
	assert.ErrorContains(t, err, "8h, 8w")
	_, err = m.DecodeLatents(t.Context(), pattern(1, 3, 8, 8))
	assert.ErrorContains(t, err, "[N, 4, h, w]")
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
	assert.Equal(t, []Call{{Op: OpOpen}, {Op: OpUNet, Batch: 2, Kind: backend.KindSDXLBase, Timestep: 900}, {Op: OpUNet, Nth: 1, Batch: 2, Kind: backend.KindSDXLBase, Timestep: 900}}, b.Calls())
	small, err := m.ComputeBytes(backend.ComputeQuery{Stage: backend.StageUNet, Batch: 1, Height: 16, Width: 16, ContextTokens: 77})
	require.NoError(t, err)
	large, err := m.ComputeBytes(backend.ComputeQuery{Stage: backend.StageUNet, Batch: 2, Height: 16, Width: 16, ContextTokens: 77})
	require.NoError(t, err)
	assert.Greater(t, large, small)
	require.NoError(t, m.ReleaseCompute())
	require.NoError(t, m.Close())
	require.NoError(t, m.Close())
	assert.Zero(t, b.LiveModels())
	_, err = m.Tokenize("x")
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, m.UNet(t.Context(), unetInput(2, 4), out), ErrClosed)
}

func TestNoiseScheduleIsSDXLs(t *testing.T) {
	// alphas_cumprod of SDXL's scheduler at 0, 500 and 999; the fake integrates instead of multiplying.
	for timestep, want := range map[float64]float64{0: 0.99915, 500: 0.2763, 999: 0.0047} {
		assert.InDelta(t, want, alphasCumprod(timestep), 0.01)
	}
}

// TestLoRA: an adapter changes its component only, in proportion to its weight, and not at all with weight 0.
func TestLoRA(t *testing.T) {
	b := &Backend{}
	m := open(t, b)
	raw := func(n int) backend.RawTensor {
		return backend.RawTensor{Shape: []int{n}, Type: backend.TypeF32, Data: make([]byte, 4*n)}
	}
	loader := m.(backend.LoRAModel)
	l, err := loader.LoadLoRA(t.Context(), []backend.LoRATarget{
		{Module: "unet.conv_in", Form: backend.LoRABias, A: raw(8), Scale: 1},
		{Module: "text_encoder.text_model.encoder.layers.0.mlp.fc1", Form: backend.LoRABias, A: raw(32), Scale: 1}})
	require.NoError(t, err)
	count, bytes := b.LiveLoRAs()
	assert.Equal(t, []int64{1, 160, 160}, []int64{count, bytes, l.Bytes()})

	unet := func(weights ...float32) []float32 {
		in := unetInput(1, 4)
		if weights != nil {
			in.LoRAs = []backend.LoRAUse{{LoRA: l, Weights: weights}}
		}
		out := make([]float32, 4*4*6)
		require.NoError(t, m.UNet(t.Context(), in, out))
		return out
	}
	base, half, one := unet(), unet(0.5, 0), unet(1, 0)
	assert.Equal(t, base, unet(0, 1), "weight 0, and another component")
	for i := range base {
		assert.InDelta(t, 2*(half[i]-base[i]), one[i]-base[i], 1e-5)
	}
	assert.NotEqual(t, base, one)

	ids := make([]int32, maxTokens)
	text := func(encoder int, w float32) []float32 {
		out, err := m.EncodeText(t.Context(), backend.TextInput{Encoder: encoder, IDs: [][]int32{ids}, LoRAs: []backend.LoRAUse{{LoRA: l, Weights: []float32{1, w}}}})
		require.NoError(t, err)
		return out.Hidden.Data
	}
	assert.NotEqual(t, text(0, 0), text(0, 1))
	assert.Equal(t, text(1, 0), text(1, 1))

	_, err = loader.LoadLoRA(t.Context(), []backend.LoRATarget{{Module: "unet.nothing"}})
	require.Error(t, err)
	in := unetInput(1, 4)
	in.LoRAs = []backend.LoRAUse{{LoRA: l, Weights: []float32{1}}}
	require.Error(t, m.UNet(t.Context(), in, make([]float32, 4*4*6)))
	require.NoError(t, l.Close())
	require.NoError(t, l.Close())
	count, _ = b.LiveLoRAs()
	assert.Zero(t, count)
	in.LoRAs[0].Weights = []float32{1, 1}
	require.ErrorIs(t, m.UNet(t.Context(), in, make([]float32, 4*4*6)), ErrLoRAClosed)
}
