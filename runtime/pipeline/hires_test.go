package pipeline

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/steps"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/rng"
)

func withHires(h request.Hires) request.Request {
	r := small("a red circle")
	r.Hires = h
	return r
}

// TestSecondPassIsImageToImage: it is what image-to-image makes of the first pass's enlarged latents with the generator's next noise.
func TestSecondPassIsImageToImage(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	first := generate(t, p, small("a red circle")).Images[0].Latents
	for way, resize := range map[string]func([]float32, int, int, int, int) []float32{
		request.UpscaleLatent: steps.ResizeBilinear, request.UpscaleLatentNearest: steps.ResizeNearest} {
		got := generate(t, p, withHires(request.Hires{Scale: 2, Upscaler: way, Strength: 0.5, Steps: 6})).Images[0]
		assert.Equal(t, []int{128, 96}, []int{got.Bounds().Dx(), got.Bounds().Dy()})

		g, err := rng.New(rng.CPU, 7)
		require.NoError(t, err)
		g.Normal(make([]float32, len(first.Data)))
		noise := make([]float32, 4*len(first.Data))
		g.Normal(noise)
		var large []float32
		for c := range 4 {
			large = append(large, resize(first.Data[c*48:(c+1)*48], 6, 8, 12, 16)...)
		}
		by := small("a red circle")
		by.Width, by.Height, by.NumInferenceSteps, by.Strength = 128, 96, 6, 0.5
		by.Latents, by.Noise = request.Array{Shape: []int{1, 4, 12, 16}, Data: large}, request.Array{Shape: []int{1, 4, 12, 16}, Data: noise}
		assert.Equal(t, generate(t, p, by).Images[0].Latents.Data, got.Latents.Data, way)
	}
}

func TestSecondPassDoesNotDependOnTheBatch(t *testing.T) {
	for _, way := range []string{request.UpscaleLatent, request.UpscaleLatentNearest, request.UpscalePicture, request.UpscaleModel} {
		b := &fake.Backend{}
		p, err := Open(t.Context(), Config{Upscaler: "esrgan"}, WithBackend(b))
		require.NoError(t, err)
		r := withHires(request.Hires{Scale: 1.5, Upscaler: way})
		r.NumImages = 3
		var last Progress
		done := 0
		all := generate(t, p, r, WithProgress(func(at Progress) {
			assert.GreaterOrEqual(t, at.Done, done)
			done, last = at.Done, at
		}))
		assert.Equal(t, 4+2, last.Steps, way) // 0.7 of 4
		assert.Equal(t, last.Total, last.Done)
		r.MaxBatch = 1
		apart := generate(t, p, r)
		for i := range all.Images {
			assert.Equal(t, apart.Images[i].Pix, all.Images[i].Pix, way)
			assert.Equal(t, 96, all.Images[i].Bounds().Dx())
		}
		if way == request.UpscaleModel {
			assert.Equal(t, 6, b.Count(fake.OpUpscale))
			assert.Equal(t, 2, b.Count(fake.OpOpen), "the upscaler is opened once")
		} else {
			assert.Zero(t, b.Count(fake.OpUpscale))
		}
		m := all.Manifest(all.Images[0])
		require.NotNil(t, m.Hires)
		assert.Equal(t, []any{96, 72, way, 0.7, 4}, []any{m.Hires.Width, m.Hires.Height, m.Hires.Upscaler, m.Hires.Strength, m.Hires.Steps})
		assert.Equal(t, way == request.UpscaleModel, m.Hires.Model == "esrgan")
		require.NoError(t, p.Close())
		assert.Zero(t, b.LiveModels())
	}
}

func TestSecondPassWithControlAndRefiner(t *testing.T) {
	b := &fake.Backend{}
	p, err := Open(t.Context(), Config{Refiner: "refiner"}, WithBackend(b))
	require.NoError(t, err)
	r := withHires(request.Hires{Width: 128})
	r.ControlNets = []request.ControlNet{controlOf("net")}
	out := generate(t, p, r)
	assert.Equal(t, []int{128, 96}, []int{out.Request.Hires.Width, out.Request.Hires.Height}, "the other side follows")
	assert.Equal(t, 2, b.Count(fake.OpEncodeHint), "once for each size")
	nets := 0
	for _, c := range b.Calls() {
		if c.Op == fake.OpControlNet {
			nets++
		}
	}
	assert.Equal(t, 3+2, nets, "the base's steps of the first pass, and those of the second")
	require.NoError(t, p.Close())
}

func TestSecondPassIsRefused(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	for says, edit := range map[string]func(*request.Request){
		"hires.scale: is 1;":                       func(r *request.Request) { r.Hires.Scale = 1 },
		"hires.scale: is 9":                        func(r *request.Request) { r.Hires.Scale = 9 },
		"hires.width: is 100":                      func(r *request.Request) { r.Hires.Width = 100 },
		"hires.upscaler: \"latnt\"":                func(r *request.Request) { r.Hires.Upscaler = "latnt" },
		"hires.upscaler: is model":                 func(r *request.Request) { r.Hires.Upscaler = request.UpscaleModel },
		"hires.strength: 0.1 of 4 steps":           func(r *request.Request) { r.Hires.Strength = 0.1 },
		"hires: makes 32 x 24 of 64 x 48":          func(r *request.Request) { r.Hires = request.Hires{Width: 32} },
		"hires: says neither":                      func(r *request.Request) { r.Hires = request.Hires{Steps: 3} },
		"hires: cannot be used with denoising_end": func(r *request.Request) { r.DenoisingEnd = 0.5 },
		"hires: cannot be used with outpaint": func(r *request.Request) {
			r.InitImage.Image, r.Outpaint.Left = gradient(64, 48), 8
		},
	} {
		r := withHires(request.Hires{Scale: 2})
		edit(&r)
		_, err := p.Generate(t.Context(), r)
		require.ErrorIs(t, err, request.ErrInvalid, says)
		assert.ErrorContains(t, err, says)
	}
}
