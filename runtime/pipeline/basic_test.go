package pipeline

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/png"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// openFake opens a pipeline on b and closes it with the test, which must leave no model behind.
func openFake(t *testing.T, b *fake.Backend) *Pipeline {
	t.Helper()
	return openFakeAs(t, b, Config{})
}

// openFakeAs is openFake with a configuration.
func openFakeAs(t *testing.T, b *fake.Backend, cfg Config) *Pipeline {
	t.Helper()
	p, err := Open(t.Context(), cfg, WithBackend(b))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, p.Close())
		assert.Zero(t, b.LiveModels())
	})
	return p
}

// small is a request that the fake answers quickly.
func small(prompt string) request.Request {
	return request.Request{Prompt: prompt, Width: 64, Height: 48, NumInferenceSteps: 4, Seed: 7}
}

func generate(t *testing.T, p *Pipeline, r request.Request, opts ...GenerateOption) *Result {
	t.Helper()
	out, err := p.Generate(t.Context(), r, opts...)
	require.NoError(t, err)
	require.Len(t, out.Images, max(r.NumImages, 1))
	return out
}

// gradient is an input picture with every colour in it.
func gradient(w, h int) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, color.NRGBA{uint8(255 * x / w), uint8(255 * y / h), uint8(128 + 40*(x/8%2)), 255})
		}
	}
	return img
}

// rightHalf is a mask that repaints the right half.
func rightHalf(w, h int) image.Image {
	img := image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		for x := w / 2; x < w; x++ {
			img.SetGray(x, y, color.Gray{255})
		}
	}
	return img
}

func TestTextToImage(t *testing.T) {
	b := &fake.Backend{}
	p := openFake(t, b)
	out := generate(t, p, small("a red circle"))
	img := out.Images[0]
	assert.Equal(t, image.Rect(0, 0, 64, 48), img.Bounds())
	assert.Equal(t, int64(7), img.Seed)
	assert.Equal(t, []int{1, 4, 6, 8}, img.Latents.Shape)
	assert.Equal(t, 4, b.Count(fake.OpUNet), "one joint evaluation a step")
	assert.Equal(t, 1, b.Count(fake.OpDecodeLatents))
	assert.Equal(t, 8, out.Timings.Evaluations)
	assert.Equal(t, 4, out.Timings.Steps)
	assert.Equal(t, "EulerDiscreteScheduler", out.Scheduler.Name)
	require.NoError(t, png.Encode(&bytes.Buffer{}, img), "an Image is an image.Image")

	again := generate(t, p, small("a red circle"))
	assert.Equal(t, img.Pix, again.Images[0].Pix, "the same request yields the same picture")
	for name, other := range map[string]func(*request.Request){
		"prompt":     func(r *request.Request) { r.Prompt = "a blue square" },
		"prompt_2":   func(r *request.Request) { r.Prompt2 = "a blue square" },
		"negative":   func(r *request.Request) { r.NegativePrompt = "green" },
		"negative_2": func(r *request.Request) { r.NegativePrompt2 = "green" },
		"zeros":      func(r *request.Request) { r.ForceZerosForEmptyPrompt = new(false) },
		"seed":       func(r *request.Request) { r.Seed = 8 },
		"rng":        func(r *request.Request) { r.RNG = "gpu" },
		"steps":      func(r *request.Request) { r.NumInferenceSteps = 5 },
		"guidance":   func(r *request.Request) { r.GuidanceScale = 7 },
		"rescale":    func(r *request.Request) { r.GuidanceRescale = 0.7 },
		"clip skip":  func(r *request.Request) { r.ClipSkip = 1 },
		"original":   func(r *request.Request) { r.OriginalSize = request.Size{Height: 1024, Width: 2048} },
		"crop":       func(r *request.Request) { r.CropsCoordsTopLeft = request.Point{Top: 512} },
		"target":     func(r *request.Request) { r.TargetSize = request.Size{Height: 1024, Width: 1024} },
		"neg size":   func(r *request.Request) { r.NegativeOriginalSize = request.Size{Height: 1024, Width: 1024} },
		"spacing":    func(r *request.Request) { r.SchedulerOptions = map[string]any{"timestep_spacing": "trailing"} },
	} {
		r := small("a red circle")
		other(&r)
		assert.NotEqual(t, img.Latents.Data, generate(t, p, r).Images[0].Latents.Data, name)
	}
}

func TestGuidanceOff(t *testing.T) {
	b := &fake.Backend{}
	p := openFake(t, b)
	r := small("a red circle")
	r.GuidanceScale, r.NegativePrompt = request.NoGuidance, "green"
	out := generate(t, p, r)
	assert.Equal(t, 4, out.Timings.Evaluations, "one evaluation a step")
	assert.Equal(t, 2, b.Count(fake.OpEncodeText), "the negative prompt is not encoded")
	for _, c := range b.Calls() {
		if c.Op == fake.OpUNet {
			assert.Equal(t, 1, c.Batch)
		}
	}
}

func TestCancelledBefore(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.Generate(ctx, small("x"))
	require.ErrorIs(t, err, context.Canceled)
}
