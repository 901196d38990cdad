package pipeline

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestToldHasOneHalf: a UNet that is told the guidance scale sees one row for each picture, whatever the scale, and the scale shows.
func TestToldHasOneHalf(t *testing.T) {
	b := &fake.Backend{GuidanceDim: 256}
	p := openFake(t, b)
	latents := map[float64][]float32{}
	for _, scale := range []float64{request.NoGuidance, 8} {
		r := small("a red circle")
		r.GuidanceScale, r.NumImages, r.GuidanceBatch, r.NegativePrompt = scale, 2, request.GuidanceSeparate, "blurry"
		out := generate(t, p, r)
		latents[scale] = out.Images[0].Latents.Data
		assert.Equal(t, []string{"this UNet gets guidance_scale as an input and has no negative half (LCM): the negative prompt does nothing"},
			out.Warnings)
	}
	assert.NotEqual(t, latents[1], latents[8])
	evaluations := 0
	for _, call := range b.Calls() {
		if call.Op == fake.OpUNet {
			evaluations++
			assert.Equal(t, 2, call.Batch)
		}
	}
	assert.Equal(t, 8, evaluations)
	r := small("a red circle")
	r.NumInferenceSteps = 0
	out := generate(t, p, r)
	assert.Equal(t, 4, out.Request.NumInferenceSteps)
	assert.Equal(t, "LCMScheduler", out.Scheduler.Name)
	assert.Equal(t, 8.0, out.Request.GuidanceScale)
}

// TestToldRowsHaveTheirScale: pictures of one batch with scales of their own are those that each makes alone.
func TestToldRowsHaveTheirScale(t *testing.T) {
	one, two := small("a red circle"), small("a red circle")
	one.GuidanceScale, two.GuidanceScale, two.Seed = 4, 12, 8
	alone := openFake(t, &fake.Backend{GuidanceDim: 256})
	want := [][]float32{generate(t, alone, one).Images[0].Latents.Data, generate(t, alone, two).Images[0].Latents.Data}

	f := &fake.Backend{GuidanceDim: 256}
	b := newTestBatcher(t, BatcherOptions{Paused: true}, openFake(t, f))
	var jobs []*BatchJob
	got := make([]Image, 2)
	for i, r := range []request.Request{one, two} {
		plan, err := b.Plan(r)
		require.NoError(t, err)
		j, err := b.Submit(t.Context(), plan, JobOptions{OnImage: func(img Image) error { got[i] = img; return nil }})
		require.NoError(t, err)
		jobs = append(jobs, j)
	}
	b.Resume()
	for i, j := range jobs {
		require.NoError(t, j.Wait(t.Context()))
		assert.Equal(t, want[i], got[i].Latents.Data)
	}
	assert.Equal(t, 4, f.Count(fake.OpUNet), "both in one batch")
}

// TestEDMSchedulersAreForEDM: on another model they are warned of.
func TestEDMSchedulersAreForEDM(t *testing.T) {
	r := small("a red circle")
	r.Scheduler = "EDMEuler"
	out := generate(t, openFake(t, &fake.Backend{}), r)
	require.Len(t, out.Warnings, 1)
	assert.Contains(t, out.Warnings[0], "needs a model with EDM preconditioning")
}
