package pipeline

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/queue"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// manifestsOf returns the manifests of a request's pictures, by Generate and by a Batcher that makes them one by one.
func manifestsOf(t *testing.T, p *Pipeline, r request.Request) (generated, batched []Manifest) {
	t.Helper()
	out := generate(t, p, r)
	for _, img := range out.Images {
		generated = append(generated, out.Manifest(img))
	}
	b := NewBatcher(BatcherOptions{MaxBatch: 1}, p)
	defer b.Close()
	plan, err := b.Plan(r)
	require.NoError(t, err)
	batched = make([]Manifest, len(generated))
	job, err := b.Submit(t.Context(), plan, JobOptions{OnImage: func(img Image) error {
		batched[img.Index] = plan.Result().Manifest(img)
		return nil
	}})
	require.NoError(t, err)
	require.NoError(t, job.Wait(t.Context()))
	return generated, batched
}

// TestManifestsOfBothWaysAgree: what is written into a picture does not depend on whether Generate or a Batcher made it.
func TestManifestsOfBothWaysAgree(t *testing.T) {
	fields := map[string]func(*request.Request){
		"plain":    func(*request.Request) {},
		"image":    func(r *request.Request) { r.InitImage.Image = gradient(64, 48) },
		"outpaint": func(r *request.Request) { *r = outpaintRequest() },
		"hires":    func(r *request.Request) { r.Hires = request.Hires{Scale: 2, Upscaler: request.UpscaleModel} },
		"nets":     func(r *request.Request) { r.ControlNets = []request.ControlNet{controlOf("one"), controlOf("two")} },
		"options":  func(r *request.Request) { r.Scheduler, r.SchedulerOptions = "unipc", map[string]any{"solver_order": 3} },
		"seamless": func(r *request.Request) { r.Seamless, r.NegativePrompt, r.ClipSkip = request.SeamlessX, "grey", 1 },
	}
	for name, edit := range fields {
		p := openFakeAs(t, &fake.Backend{}, Config{Model: "base", Refiner: "refiner", Upscaler: "esrgan"})
		r := small("a red circle")
		r.NumImages, r.NumInferenceSteps = 2, 10
		edit(&r)
		generated, batched := manifestsOf(t, p, r)
		assert.Equal(t, generated, batched, name)
	}
	p, _, _ := loraBench(t)
	generated, batched := manifestsOf(t, p, withLoRA(small("a circle"), lora.Adapter{Name: "both", Weight: new(0.5)}))
	assert.Equal(t, generated, batched)
	require.Len(t, generated[0].LoRAs, 1)
}

// TestManifestsSayHowMemoryWasUsed: both ways say the same of a strategy, and nothing where all weights are resident.
func TestManifestsSayHowMemoryWasUsed(t *testing.T) {
	for strategy, want := range map[string]string{memory.Resident: "",
		memory.Release: "text encoders and VAE released after use",
		memory.Stage:   "one component in memory at a time"} {
		cfg := Config{Memory: request.Memory{Strategy: strategy}}
		for name, p := range map[string]*Pipeline{"files": openFiled(t, &fake.Backend{}, cfg), "no files": openFakeAs(t, &fake.Backend{}, cfg)} {
			generated, batched := manifestsOf(t, p, small("a red circle"))
			assert.Equal(t, want, generated[0].Memory, "%s, %s", strategy, name)
			assert.Equal(t, generated, batched, "%s, %s", strategy, name)
		}
	}
}

// TestManifestsSayWhatHelpedWhenMemoryRanOut: what was not planned is said, too.
func TestManifestsSayWhatHelpedWhenMemoryRanOut(t *testing.T) {
	b := &fake.Backend{}
	p := openFiled(t, b, Config{})
	tiles := false // are all that fits
	b.Hook = func(_ context.Context, c fake.Call) error {
		if c.Op == fake.OpUNet && !tiles {
			return backend.ErrOutOfMemory
		}
		return nil
	}
	plan, err := p.Plan(small("a red circle"))
	require.NoError(t, err)
	queued := NewBatcher(BatcherOptions{OnEvent: func(e queue.Event) {
		tiles = tiles || e.Kind == queue.Requeued && e.Why == "ran out of memory; next with tiling"
	}}, p)
	defer queued.Close()
	var said string
	job, err := queued.Submit(t.Context(), plan, JobOptions{OnImage: func(img Image) error {
		said = plan.Result().Manifest(img).Memory
		return nil
	}})
	require.NoError(t, err)
	require.NoError(t, job.Wait(t.Context()))
	assert.Equal(t, "all weights resident, VAE by tiles", said)
}
