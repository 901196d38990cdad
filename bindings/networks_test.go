package bindings

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// openNetwork opens what has weights of this component.
func openNetwork(t *testing.T, component string) *Model {
	t.Helper()
	m, err := fake(t).OpenModel(ModelParams{Files: []string{"net"}, Weights: []Weight{{Name: component + ".w"}}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func controlInputs(n, h, w int64) ControlInput {
	return ControlInput{Batch: n, Height: h, Width: w, ContextTokens: 1, Sample: make([]float32, n*4*h*w), Timesteps: make([]float32, n),
		Context: make([]float32, n*8), Pooled: make([]float32, n*5), SizeIDs: make([]float32, n*6), Hint: make([]float32, 2*h*w), HintBatch: 1,
		Scales: []float32{1, 0.5, 0.25}, ResidualRows: n}
}

func TestControlNet(t *testing.T) {
	m := openNetwork(t, "controlnet")
	require.Equal(t, KindControlNet, m.Info().Kind)
	pixels := make([]float32, 3*16*8)
	pixels[8*8] = 7 // the corner of the lower block
	hint := make([]float32, 2*2*1)
	require.NoError(t, m.ControlHint(1, 16, 8, pixels, hint))
	require.Equal(t, []float32{0, 7, 0, 7}, hint)

	in := controlInputs(1, 2, 1)
	in.Hint, in.Timesteps[0], in.ResidualRows, in.FirstRow = []float32{3, 0, 0, 0}, 5, 2, 1
	residuals := make([]float32, 3*2*4)
	residuals[4] = 100
	require.NoError(t, m.ControlEval(in, residuals))
	require.NoError(t, m.ControlEval(in, residuals))
	require.Equal(t, []float32{0, 0, 0, 0, 116, 16, 16, 16, 0, 0, 0, 0, 8, 8, 8, 8, 0, 0, 0, 0, 4, 4, 4, 4}, residuals, "added to the second row")

	for name, c := range map[string]struct {
		edit func(*ControlInput, *[]float32)
		says string
	}{
		"hint":      {func(in *ControlInput, _ *[]float32) { in.Hint = in.Hint[1:] }, "hint has 3 elements; [1 2 2 1] needs 4"},
		"scales":    {func(in *ControlInput, _ *[]float32) { in.Scales = in.Scales[1:] }, "scales has 2 elements; [3] needs 3"},
		"context":   {func(in *ControlInput, _ *[]float32) { in.ContextTokens = 3 }, "context has 8 elements"},
		"residuals": {func(_ *ControlInput, r *[]float32) { *r = (*r)[1:] }, "residuals has 23 elements; 2 rows of 1 x 2 cells need 24"},
		"overflow":  {func(in *ControlInput, _ *[]float32) { in.ResidualRows = 1 << 60 }, "the dimensions of residuals are too large"},
	} {
		t.Run(name, func(t *testing.T) {
			in, r := in, append([]float32(nil), residuals...)
			c.edit(&in, &r)
			err := m.ControlEval(in, r)
			require.ErrorIs(t, err, ErrArgument)
			require.ErrorContains(t, err, c.says)
		})
	}
	require.ErrorContains(t, m.ControlHint(1, 12, 8, nil, nil), "are not multiples of 8")
	unet, out := unetInputs(1, 2, 2, 1)
	require.ErrorContains(t, m.UNetEval(unet, out), "this model has no UNet")
}

func TestUNetTakesResiduals(t *testing.T) {
	m := openFake(t, fake(t))
	in, out := unetInputs(2, 4, 2, 1)
	require.NoError(t, m.UNetEval(in, out))
	plain := out[0]
	info := m.Info()
	one, count, ok := info.UNet.ResidualCount(4, 2)
	require.True(t, ok)
	require.EqualValues(t, 1+3*2+2+1, count)
	require.EqualValues(t, 3*64*8+64*2+2*128*2+128+2*256+256, one)
	in.Residuals = make([]float32, 2*one)
	in.Residuals[2*one-1] = 1000
	require.NoError(t, m.UNetEval(in, out))
	require.Equal(t, plain+1000, out[0])
	in.Residuals = in.Residuals[1:]
	require.ErrorContains(t, m.UNetEval(in, out), "residuals has")
	_, _, ok = (&UNetInfo{Levels: 9}).ResidualCount(1, 1)
	require.False(t, ok)
	_, _, ok = info.UNet.ResidualCount(-1, 1)
	require.False(t, ok)
}

func TestUpscale(t *testing.T) {
	m := openNetwork(t, "upscaler")
	out := make([]float32, 12)
	require.NoError(t, m.Upscale(1, 1, 1, []float32{1, 2, 3}, out))
	require.Equal(t, []float32{1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3}, out)
	require.ErrorContains(t, m.Upscale(1, 1, 1, []float32{1, 2, 3}, out[1:]), "out has 11 elements")
	require.ErrorContains(t, m.ControlHint(1, 8, 8, nil, nil), "this model has no ControlNet")
}
