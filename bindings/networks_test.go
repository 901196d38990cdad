package bindings

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// openNetwork opens what has weights of this component.
func openNetwork(t *testing.T, component string) *Model {
	t.Helper()
	m, err := fake(t).OpenModel(ModelParams{Files: []File{{Path: "net"}}, Weights: []Weight{{Name: component + ".w"}}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func TestControlNet(t *testing.T) {
	m := openNetwork(t, "controlnet")
	require.Equal(t, "controlnet", Kinds[m.Info().Kind])
	pixels := make([]float32, 3*16*8)
	pixels[8*8] = 7 // the corner of the lower block
	hint := make([]float32, 2*2*1)
	require.NoError(t, m.ControlHint(1, 16, 8, pixels, hint))
	require.Equal(t, []float32{0, 7, 0, 7}, hint)

	in := ControlInput{Batch: 1, Height: 2, Width: 1, ContextTokens: 1, Sample: &make([]float32, 8)[0], Timesteps: &[]float32{5}[0],
		Context: &make([]float32, 8)[0], Pooled: &make([]float32, 5)[0], SizeIDs: &make([]float32, 6)[0], Hint: &[]float32{3, 0, 0, 0}[0],
		HintBatch: 1, Scales: &[]float32{1, 0.5, 0.25}[0], ScaleCount: 3, ResidualRows: 2, FirstRow: 1}
	residuals := make([]float32, 3*2*4)
	residuals[4] = 100
	require.NoError(t, m.ControlEval(in, residuals))
	require.NoError(t, m.ControlEval(in, residuals))
	require.Equal(t, []float32{0, 0, 0, 0, 116, 16, 16, 16, 0, 0, 0, 0, 8, 8, 8, 8, 0, 0, 0, 0, 4, 4, 4, 4}, residuals,
		"added to the second row")
}

// TestResidualsOnTheDevice: they are added to, taken, zeros again and freed once.
func TestResidualsOnTheDevice(t *testing.T) {
	base, net := openFake(t, fake(t)), openNetwork(t, "controlnet")
	kept, err := base.NewResiduals(1, 1, 1)
	require.NoError(t, err)
	in := ControlInput{Batch: 1, Height: 1, Width: 1, ContextTokens: 1, Sample: &make([]float32, 4)[0], Timesteps: &[]float32{5}[0],
		Context: &make([]float32, 8)[0], Pooled: &make([]float32, 5)[0], SizeIDs: &make([]float32, 6)[0], Hint: &[]float32{3, 0}[0],
		HintBatch: 1, Scales: &[]float32{1, 0.5, 0.25}[0], ScaleCount: 3, ResidualRows: 1}
	require.NoError(t, net.ControlEvalOnDevice(in, kept))
	require.NoError(t, net.ControlEvalOnDevice(in, kept))
	unet, out := unetInputs(1, 1, 1, 1)
	require.NoError(t, unet.eval(base, out))
	plain := out[0]
	unet.onDevice = kept
	require.NoError(t, unet.eval(base, out))
	require.Equal(t, plain+4, out[0])
	require.NoError(t, kept.Clear())
	require.NoError(t, unet.eval(base, out))
	require.Equal(t, plain, out[0])

	require.NoError(t, kept.Free())
	require.NoError(t, kept.Free())
	require.ErrorContains(t, unet.eval(base, out), "the residuals are freed")
	require.ErrorContains(t, net.ControlEvalOnDevice(in, kept), "the residuals are freed")
	require.ErrorContains(t, kept.Clear(), "the residuals are freed")
	_, err = base.NewResiduals(9, 1, 1)
	require.ErrorIs(t, err, ErrOutOfMemory)
}

func TestUNetTakesResiduals(t *testing.T) {
	m := openFake(t, fake(t))
	in, out := unetInputs(2, 4, 2, 1)
	require.NoError(t, in.eval(m, out))
	plain := out[0]
	const one = 3*64*8 + 64*2 + 2*128*2 + 128 + 2*256 + 256
	in.residuals = make([]float32, 2*one)
	in.residuals[2*one-1] = 1000
	require.NoError(t, in.eval(m, out))
	require.Equal(t, plain+1000, out[0])
}

func TestDetect(t *testing.T) {
	m := openNetwork(t, "detector")
	out := make([]float32, 18*21)
	pixels := make([]float32, 3*32*32)
	pixels[0] = 7
	require.ErrorContains(t, m.Detect(1, 32, 32, pixels, out[:18*20]), "sizes")
	require.NoError(t, m.Detect(1, 32, 32, pixels, out))
	require.Equal(t, []float32{7, 7}, out[:2])
}

func TestUpscale(t *testing.T) {
	m := openNetwork(t, "upscaler")
	out := make([]float32, 12)
	require.NoError(t, m.Upscale(1, 1, 1, []float32{1, 2, 3}, out))
	require.Equal(t, []float32{1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3}, out)
}
