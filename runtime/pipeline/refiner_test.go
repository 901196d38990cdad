package pipeline

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// openFakeRefined is openFake with a refiner.
func openFakeRefined(t *testing.T, b *fake.Backend, onDemand bool) *Pipeline {
	t.Helper()
	p, err := Open(t.Context(), Config{Refiner: "refiner.safetensors", RefinerOnDemand: onDemand}, WithBackend(b))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, p.Close())
		assert.Zero(t, b.LiveModels())
	})
	return p
}

// unets lists the models asked for, one entry an evaluation, and whether anything was decoded or encoded between them.
func unets(b *fake.Backend) (kinds []backend.Kind, timesteps []float32, decodedBetween bool) {
	for _, c := range b.Calls() {
		switch c.Op {
		case fake.OpUNet:
			kinds, timesteps = append(kinds, c.Kind), append(timesteps, c.Timestep)
		case fake.OpDecodeLatents, fake.OpEncodeImage:
			decodedBetween = decodedBetween || c.Kind == backend.KindSDXLRefiner || len(kinds) > 0 && kinds[len(kinds)-1] == backend.KindSDXLBase
		}
	}
	return kinds, timesteps, decodedBetween
}

// TestRefinerTakesOver: the two share one schedule, and nothing is decoded in between.
func TestRefinerTakesOver(t *testing.T) {
	for _, onDemand := range []bool{false, true} {
		b := &fake.Backend{}
		p := openFakeRefined(t, b, onDemand)
		r := small("a red circle")
		r.NumInferenceSteps = 10
		var steps []int
		out := generate(t, p, r, WithProgress(func(p Progress) {
			if p.StepTime > 0 {
				steps = append(steps, p.Step)
			}
		}))
		kinds, timesteps, between := unets(b)
		assert.Equal(t, append(slices.Repeat([]backend.Kind{backend.KindSDXLBase}, 8),
			slices.Repeat([]backend.Kind{backend.KindSDXLRefiner}, 2)...), kinds)
		assert.False(t, between)
		assert.Equal(t, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, steps)
		assert.Equal(t, 10, out.Timings.Steps)
		assert.Equal(t, map[bool]int{false: 2, true: 1}[onDemand], b.LiveModels())

		alone := &fake.Backend{}
		whole := generate(t, openFake(t, alone), r)
		_, want, _ := unets(alone)
		assert.Equal(t, want, timesteps, "one schedule")
		assert.False(t, bytes.Equal(whole.Images[0].Pix, out.Images[0].Pix))

		m := out.Manifest(out.Images[0])
		assert.Equal(t, &ManifestRefiner{Name: "refiner", Mode: "ensemble", Start: 0.8, Steps: 10, AestheticScore: 6,
			NegativeAestheticScore: 2.5}, m.Refiner)

		r.RefinerMode = request.RefinerNone
		assert.True(t, bytes.Equal(whole.Images[0].Pix, generate(t, p, r).Images[0].Pix))
		again := out.Request
		assert.True(t, bytes.Equal(out.Images[0].Pix, generate(t, p, again).Images[0].Pix), "the prepared request makes the same picture")
	}
}

// TestRefinerImg2Img: the base runs to its end, the refiner makes the last part of a schedule of its own.
func TestRefinerImg2Img(t *testing.T) {
	b := &fake.Backend{}
	p := openFakeRefined(t, b, true)
	r := small("a red circle")
	r.RefinerMode, r.RefinerStrength, r.RefinerSteps, r.NumImages, r.MaxBatch = request.RefinerImg2Img, 0.5, 6, 2, 1
	out := generate(t, p, r)
	kinds, _, between := unets(b)
	one := append(slices.Repeat([]backend.Kind{backend.KindSDXLBase}, 4), slices.Repeat([]backend.Kind{backend.KindSDXLRefiner}, 3)...)
	assert.Equal(t, append(one, one...), kinds, "batch by batch")
	assert.False(t, between)
	assert.Equal(t, 14, out.Timings.Steps)
	opened := 0
	for _, cfg := range b.Opened() {
		if cfg.Files.Model == "refiner.safetensors" {
			opened++
			assert.Equal(t, []string{"text_encoder", "text_encoder_2", "unet"}, cfg.Components, "the base's VAE decodes")
		}
	}
	assert.Equal(t, 1, opened, "once for the whole job")
	score := r
	score.AestheticScore = 1
	assert.False(t, slices.Equal(out.Images[0].Latents.Data, generate(t, p, score).Images[0].Latents.Data), "the refiner is told the score")
}

// TestRefinerWithAPicture: image-to-image and inpainting go on in the refiner.
func TestRefinerWithAPicture(t *testing.T) {
	for channels, kind := range map[int]backend.Kind{4: backend.KindSDXLBase, 9: backend.KindSDXLInpaint} {
		b := &fake.Backend{InChannels: channels}
		p := openFakeRefined(t, b, false)
		r := small("a red circle")
		r.NumInferenceSteps, r.InitImage.Image, r.MaskImage.Image, r.Strength = 10, gradient(64, 48), rightHalf(64, 48), 1
		out := generate(t, p, r)
		kinds, _, _ := unets(b)
		assert.Equal(t, append(slices.Repeat([]backend.Kind{kind}, 8), slices.Repeat([]backend.Kind{backend.KindSDXLRefiner}, 2)...), kinds)
		left := out.Images[0].SubImage(rightHalf(64, 48).Bounds()).Bounds()
		left.Max.X /= 2
		assert.Less(t, distance(out.Images[0].NRGBA, picture.Opaque(gradient(64, 48)), left), 25.0, "%d channels: the kept part is the picture's",
			channels)
	}
}

// TestRunInParts: a run that stops early and one that goes on with its latents make the picture of one run.
func TestRunInParts(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	r := small("a red circle")
	r.NumInferenceSteps, r.NumImages = 10, 2
	whole := generate(t, p, r)
	first := r
	first.DenoisingEnd = 0.6
	half := generate(t, p, first)
	second := r
	second.DenoisingStart = 0.6
	second.Latents.Shape = []int{2, 4, 6, 8}
	for _, img := range half.Images {
		second.Latents.Data = append(second.Latents.Data, img.Latents.Data...)
	}
	rest := generate(t, p, second)
	assert.Equal(t, 10, half.Timings.Steps+rest.Timings.Steps)
	for i := range whole.Images {
		assert.Equal(t, whole.Images[i].Latents.Data, rest.Images[i].Latents.Data)
	}
	second.DenoisingStart, second.Strength = 0, 0.5
	assert.Equal(t, 5, generate(t, p, second).Timings.Steps, "latents as image-to-image")
}

func TestRefinerRequestErrors(t *testing.T) {
	with, without := openFakeRefined(t, &fake.Backend{}, true), openFake(t, &fake.Backend{})
	for want, c := range map[string]struct {
		p    *Pipeline
		edit func(*request.Request)
	}{
		"refiner_mode: asks for a refiner, and none is open": {without, func(r *request.Request) { r.RefinerStart = 0.5 }},
		"refiner_strength: 0.1 of 4 steps is none": {with,
			func(r *request.Request) { r.RefinerMode, r.RefinerStrength = "img2img", 0.1 }},
		"num_inference_steps: ": {with,
			func(r *request.Request) { r.NumInferenceSteps, r.RefinerStart = 2, 0.1 }},
		"refiner_start: is 0.5, which denoising_end (0.3)":      {with, func(r *request.Request) { r.RefinerStart, r.DenoisingEnd = 0.5, 0.3 }},
		"refiner_start: is 1; it must be above 0 and below 1":   {with, func(r *request.Request) { r.RefinerStart = 1 }},
		"aesthetic_score: is 11; it must be a number between 0": {with, func(r *request.Request) { r.AestheticScore = 11 }},
		"denoising_start: there is nothing to continue from":    {without, func(r *request.Request) { r.DenoisingStart = 0.5 }},
		"latents: has shape [1 4 2 2]; expected [1, 4, 6, 8]": {without,
			func(r *request.Request) { r.Latents.Shape, r.Latents.Data = []int{1, 4, 2, 2}, make([]float32, 16) }},
		"denoising_start: is 0.5; it must be below denoising_end": {without,
			func(r *request.Request) { r.DenoisingStart, r.DenoisingEnd = 0.5, 0.4 }},
	} {
		r := small("x")
		c.edit(&r)
		_, err := c.p.Generate(t.Context(), r)
		require.ErrorIs(t, err, request.ErrInvalid, want)
		require.ErrorContains(t, err, want)
	}
}

// TestRefinerFailures: a refiner that cannot be opened fails the job that wants it, or Open, and leaves nothing behind.
func TestRefinerFailures(t *testing.T) {
	broken := errors.New("broken")
	b := &fake.Backend{Hook: func(_ context.Context, c fake.Call) error {
		if c.Op == fake.OpOpen && c.Nth > 0 || c.Op == fake.OpUNet && c.Kind == backend.KindSDXLRefiner {
			return broken
		}
		return nil
	}}
	_, err := Open(t.Context(), Config{Refiner: "refiner"}, WithBackend(b))
	require.ErrorIs(t, err, broken)
	assert.Zero(t, b.LiveModels())

	b = &fake.Backend{Hook: func(_ context.Context, c fake.Call) error {
		if c.Op == fake.OpUNet && c.Kind == backend.KindSDXLRefiner {
			return broken
		}
		return nil
	}}
	p := openFakeRefined(t, b, true)
	_, err = p.Generate(t.Context(), small("x"))
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "refiner: step 4 of 4")
	assert.Equal(t, 1, b.LiveModels(), "the refiner was closed")
}
