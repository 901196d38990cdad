package contract

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// base is a model with small dimensions: residuals of 2 channels, three in all.
func base() backend.ModelInfo {
	info := backend.ModelInfo{Kind: backend.KindSDXLBase,
		TextEncoder: backend.TextInfo{VocabSize: 20, Width: 3, Layers: 3, MaxTokens: 4},
		UNet: backend.UNetInfo{InChannels: 4, OutChannels: 4, ModelChannels: 2, ContextDim: 8, PooledDim: 5, SizeIDs: 6,
			Channels: []int{2}, Resnets: []int{1}},
		VAE:      backend.VAEInfo{LatentChannels: 4, Downscale: 8},
		Control:  backend.ControlInfo{HintChannels: 3, HintDownscale: 8},
		Detector: backend.DetectorInfo{Classes: 1, Bins: 16, Multiple: 32},
		Upscaler: backend.UpscalerInfo{Scale: 2, Multiple: 2},
	}
	for _, name := range Components {
		info.Components = append(info.Components, backend.ComponentInfo{Name: name, Opened: true})
	}
	return info
}

func control() backend.ControlInput {
	return backend.ControlInput{Sample: backend.NewTensor(1, 4, 2, 1), Timesteps: make([]float32, 1), Context: backend.NewTensor(1, 1, 8),
		Pooled: backend.NewTensor(1, 5), SizeIDs: backend.NewTensor(1, 6), Hint: backend.NewTensor(1, 2, 2, 1), Scales: make([]float32, 3)}
}

// TestSizesThatOverflow: a product that wraps around must not look like the length of a slice.
func TestSizesThatOverflow(t *testing.T) {
	info := base()
	for name, in := range map[string]backend.Tensor{
		"more than 60 bits":  {Shape: []int{1, 4, 1 << 40, 1 << 40}},
		"wraps to 0":         {Shape: []int{1, 4, 1 << 31, 1 << 31}},
		"wraps to 4":         {Shape: []int{1, 4, math.MaxInt, math.MaxInt}, Data: make([]float32, 4)},
		"negative, twice":    {Shape: []int{1, 4, -1, -1}, Data: make([]float32, 4)},
		"too few":            {Shape: []int{1, 4, 2, 2}, Data: make([]float32, 15)},
		"too many":           {Shape: []int{1, 4, 2, 2}, Data: make([]float32, 17)},
		"of fewer dimension": {Shape: []int{4, 2, 2}, Data: make([]float32, 16)},
	} {
		_, err := DecodeLatents(info, in)
		require.ErrorIs(t, err, backend.ErrArgument, name)
		require.ErrorIs(t, UNet(info, backend.UNetInput{Sample: in}, len(in.Data)), backend.ErrArgument, name)
	}
	info.VAE.Downscale = 1 << 31
	_, err := DecodeLatents(info, backend.NewTensor(1, 4, 1, 1))
	require.ErrorContains(t, err, "more pixels than can be")
}

func TestRowsOfResiduals(t *testing.T) {
	in := control()
	rows, err := ControlNet(base(), in, 12)
	require.NoError(t, err)
	require.Equal(t, 1, rows)
	for says, c := range map[string]struct {
		rows, first, residuals int
	}{
		"residuals: there are 11 values; 1 rows of 1 x 2 cells need 12": {0, 0, 11},
		"residuals: there are 0 values; 4611686018427387904 rows":       {1 << 62, 0, 0}, // 12 times that wraps to 0
		"first_row: 1 rows from 9223372036854775807":                    {2, math.MaxInt, 24},
		"first_row: 1 rows from -1":                                     {2, -1, 24},
		"first_row: 1 rows from 0 on are not among -1":                  {-1, 0, 12},
	} {
		bad := in
		bad.Rows, bad.FirstRow = c.rows, c.first
		_, err := ControlNet(base(), bad, c.residuals)
		require.ErrorIs(t, err, backend.ErrArgument)
		require.ErrorContains(t, err, says)
	}
}

func TestComponentsThatWereNotOpened(t *testing.T) {
	info := base()
	for i := range info.Components {
		info.Components[i].Opened = info.Components[i].Name == "vae_decoder"
	}
	_, text := Text(info, backend.TextInput{Encoder: 1})
	_, net := ControlNet(info, control(), 12)
	_, encode := EncodeImage(info, backend.NewTensor(1, 3, 8, 8))
	_, hint := EncodeHint(info, backend.NewTensor(1, 3, 8, 8))
	_, detect := Detect(info, backend.NewTensor(1, 3, 31, 32))
	_, upscale := Upscale(info, backend.NewTensor(1, 3, 2, 2))
	_, load := Named(info, []string{"vae_decoder", "unet"})
	query := Query(info, backend.ComputeQuery{Stage: backend.StageUNet})
	for _, err := range []error{text, net, encode, hint, detect, upscale, load, query, UNet(info, backend.UNetInput{}, 0)} {
		require.ErrorIs(t, err, backend.ErrUnsupported)
		require.NotErrorIs(t, err, backend.ErrArgument)
		require.ErrorContains(t, err, "this model (sdxl-base) has no ")
	}
	names, err := Named(info, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"vae_decoder"}, names)
	_, err = Named(info, []string{""})
	require.ErrorContains(t, err, `components: "" is unknown; known are text_encoder, `)
}

func TestConfig(t *testing.T) {
	require.NoError(t, Config(backend.ModelConfig{}))
	for says, cfg := range map[string]backend.ModelConfig{
		`vae type: "q9" is unknown; known are auto, f32, `: {VAEType: "q9"},
		`components: "lens" is unknown`:                    {Components: []string{"unet", "lens"}},
		"threads: -1 is not in 0..2147483647":              {Threads: -1},
		"text head dim: 2147483648 is not":                 {Hyper: backend.Hyper{TextHeadDim: 1 << 31}},
		"stream_bytes: -1 is negative":                     {StreamBytes: -1},
	} {
		err := Config(cfg)
		require.ErrorIs(t, err, backend.ErrArgument)
		require.ErrorContains(t, err, says)
	}
}
