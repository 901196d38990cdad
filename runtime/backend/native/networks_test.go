package native

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

func fakeNetwork(t *testing.T, files backend.Files) backend.Model {
	t.Helper()
	m, err := fakeBackend(t, nil).Open(t.Context(), backend.ModelConfig{Files: files})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

// controlInput fits the stand-in's ControlNet: three residuals of two channels.
func controlInput(n, h, w int) backend.ControlInput {
	return backend.ControlInput{Sample: backend.NewTensor(n, 4, h, w), Timesteps: make([]float32, n), Context: backend.NewTensor(n, 1, 8),
		Pooled: backend.NewTensor(n, 5), SizeIDs: backend.NewTensor(n, 6), Hint: backend.NewTensor(1, 2, h, w), Scales: []float32{1, 2, 3}}
}

func TestControlNet(t *testing.T) {
	m := fakeNetwork(t, backend.Files{ControlNet: "c"})
	info := m.Info()
	require.Equal(t, backend.KindControlNet, info.Kind)
	require.Equal(t, backend.ControlInfo{HintChannels: 3, HintDownscale: 8}, info.Control)
	require.Len(t, info.Components, 6)
	require.Equal(t, component("controlnet", 15, 105, 210), info.Components[5])
	pixels := backend.NewTensor(1, 3, 8, 16)
	pixels.Data[8] = 7
	hint, err := m.EncodeHint(t.Context(), pixels)
	require.NoError(t, err)
	require.Equal(t, backend.Tensor{Shape: []int{1, 2, 1, 2}, Data: []float32{0, 7, 0, 7}}, hint)

	in := controlInput(1, 1, 1)
	in.Timesteps[0], in.Rows, in.FirstRow = 5, 2, 1
	residuals := make([]float32, info.UNet.ResidualCount(2, 1, 1))
	require.Len(t, residuals, 12)
	require.NoError(t, m.ControlNet(t.Context(), in, residuals))
	require.NoError(t, m.ControlNet(t.Context(), in, residuals))
	require.Equal(t, []float32{0, 0, 10, 10, 0, 0, 20, 20, 0, 0, 30, 30}, residuals)

	for says, edit := range map[string]func(*backend.ControlInput){
		"sample: has shape [1 9 1 1]":                                   func(in *backend.ControlInput) { in.Sample = backend.NewTensor(1, 9, 1, 1) },
		"timesteps: there are 2 for a batch of 1":                       func(in *backend.ControlInput) { in.Timesteps = make([]float32, 2) },
		"context: has shape [1 1 7]":                                    func(in *backend.ControlInput) { in.Context = backend.NewTensor(1, 1, 7) },
		"hint: has shape [1 2 2 1]":                                     func(in *backend.ControlInput) { in.Hint = backend.NewTensor(1, 2, 2, 1) },
		"hint: there are 3 for a batch of 1":                            func(in *backend.ControlInput) { in.Hint = backend.NewTensor(3, 2, 1, 1) },
		"scales: there are 2; the net has 3 residuals":                  func(in *backend.ControlInput) { in.Scales = in.Scales[1:] },
		"type: 1 is not in 0..0":                                        func(in *backend.ControlInput) { in.Type = 1 },
		"first_row: 1 rows from 2 on are not among 2":                   func(in *backend.ControlInput) { in.FirstRow = 2 },
		"residuals: there are 12 values; 3 rows of 1 x 1 cells need 18": func(in *backend.ControlInput) { in.Rows = 3 },
	} {
		bad := in
		edit(&bad)
		err := m.ControlNet(t.Context(), bad, residuals)
		require.ErrorIs(t, err, backend.ErrArgument)
		require.ErrorContains(t, err, "evaluating the ControlNet: "+says)
	}
	_, err = m.EncodeHint(t.Context(), backend.NewTensor(1, 3, 8, 12))
	require.ErrorContains(t, err, "encoding a control picture: pixels: 12 x 8 (W x H) are not multiples of 8")
	require.ErrorIs(t, m.UNet(t.Context(), backend.UNetInput{}, nil), backend.ErrUnsupported)
	bytes, err := m.ComputeBytes(backend.ComputeQuery{Stage: backend.StageControl, Batch: 2, Height: 1, Width: 1, ContextTokens: 77})
	require.NoError(t, err)
	require.EqualValues(t, 5020000+101+77, bytes)
}

func TestUNetResiduals(t *testing.T) {
	m := fakeModel(t, fakeBackend(t, nil), "m")
	in, out := fakeUNet(7)
	require.NoError(t, m.UNet(t.Context(), in, out))
	plain := out[0]
	in.Residuals = make([]float32, m.Info().UNet.ResidualCount(1, 2, 2))
	in.Residuals[len(in.Residuals)-1] = 5
	require.NoError(t, m.UNet(t.Context(), in, out))
	require.Equal(t, plain+5, out[0])
	in.Residuals = in.Residuals[1:]
	require.ErrorContains(t, m.UNet(t.Context(), in, out), "evaluating the UNet: residuals: there are")
	_, err := m.Upscale(t.Context(), backend.NewTensor(1, 3, 1, 1))
	require.ErrorIs(t, err, backend.ErrUnsupported)
}

func TestUpscalerAndTAESD(t *testing.T) {
	m := fakeNetwork(t, backend.Files{Upscaler: "u"})
	require.Equal(t, backend.UpscalerInfo{Scale: 2, Channels: 64, Blocks: 23, Multiple: 1}, m.Info().Upscaler)
	out, err := m.Upscale(t.Context(), backend.Tensor{Shape: []int{1, 3, 1, 1}, Data: []float32{1, 2, 3}})
	require.NoError(t, err)
	require.Equal(t, backend.Tensor{Shape: []int{1, 3, 2, 2}, Data: []float32{1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3}}, out)
	_, err = m.Upscale(t.Context(), backend.NewTensor(1, 4, 1, 1))
	require.ErrorContains(t, err, "upscaling: pixels: has shape [1 4 1 1]")

	m = fakeNetwork(t, backend.Files{Detector: "d"})
	require.Equal(t, backend.KindDetector, m.Info().Kind)
	require.Equal(t, backend.DetectorInfo{Classes: 2, Bins: 4, Multiple: 32}, m.Info().Detector)
	found, err := m.Detect(t.Context(), backend.NewTensor(1, 3, 32, 64))
	require.NoError(t, err)
	require.Equal(t, []int{1, 18, 42}, found.Shape)
	_, err = m.Detect(t.Context(), backend.NewTensor(1, 3, 31, 64))
	require.ErrorContains(t, err, "detecting: pixels: 64 x 31 (W x H) are not multiples of 32")

	m = fakeNetwork(t, backend.Files{TAESD: "t"})
	require.Equal(t, backend.KindTAESD, m.Info().Kind)
	_, err = m.DecodeLatents(t.Context(), backend.NewTensor(1, 4, 1, 1))
	require.NoError(t, err)
	_, err = fakeBackend(t, nil).Open(t.Context(), backend.ModelConfig{Files: backend.Files{Model: "m", ControlNet: "c"}})
	require.ErrorContains(t, err, "each a model of their own")
}
