package pipeline

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestPicturesDoNotDependOnBatching compares single runs with seed, seed+1, ... against every way of
// batching them, for every mode, bit for bit.
func TestPicturesDoNotDependOnBatching(t *testing.T) {
	picture := request.Picture{Image: gradient(64, 48)}
	mask := request.Picture{Image: rightHalf(64, 48)}
	for name, c := range map[string]struct {
		channels int
		change   func(*request.Request)
	}{
		"text":    {4, func(*request.Request) {}},
		"rescale": {4, func(r *request.Request) { r.GuidanceRescale = 0.6 }},
		"apg": {4, func(r *request.Request) {
			r.Guidance, r.GuidanceRescale = request.Guidance{Method: request.GuidanceAPG, Momentum: -0.5, NormThreshold: new(3.0)}, 0.3
		}},
		"cfg-zero*": {4, func(r *request.Request) { r.Guidance.Method = request.GuidanceCFGZeroStar }},
		"cfg++":     {4, func(r *request.Request) { r.GuidanceScale, r.Scheduler = 0.6, "euler_ancestral_cfg_pp" }},
		"unguided":  {4, func(r *request.Request) { r.GuidanceScale = 1 }},
		"churn":     {4, func(r *request.Request) { r.SchedulerOptions = map[string]any{"s_churn": 2.0} }},
		"image":     {4, func(r *request.Request) { r.InitImage, r.Strength = picture, 0.6 }},
		"inpaint":   {4, func(r *request.Request) { r.InitImage, r.MaskImage, r.Strength = picture, mask, 0.7 }},
		"inpaint 9": {9, func(r *request.Request) { r.InitImage, r.MaskImage = picture, mask }},
	} {
		t.Run(name, func(t *testing.T) {
			p := openFake(t, &fake.Backend{InChannels: c.channels})
			r := small("a red circle")
			c.change(&r)
			var single []Image
			for i := range 5 {
				one := r
				one.Seed += int64(i)
				single = append(single, generate(t, p, one).Images[0])
			}
			assert.NotEqual(t, single[0].Latents.Data, single[1].Latents.Data)
			for _, most := range []int{0, 1, 2, 3, 5} {
				for _, guidance := range []string{request.GuidanceAuto, request.GuidanceJoint, request.GuidanceSeparate} {
					all := r
					all.NumImages, all.MaxBatch, all.GuidanceBatch = 5, most, guidance
					out := generate(t, p, all)
					for i, img := range out.Images {
						what := fmt.Sprintf("picture %d with max_batch %d, guidance %s", i, most, guidance)
						assert.Equal(t, single[i].Seed, img.Seed, what)
						assert.Equal(t, single[i].Latents.Data, img.Latents.Data, what)
						assert.Equal(t, single[i].Pix, img.Pix, what)
					}
				}
			}
		})
	}
}

func TestBatchSizesAndGuidanceHalves(t *testing.T) {
	b := &fake.Backend{}
	p := openFake(t, b)
	r := small("x")
	r.NumImages, r.MaxBatch, r.NumInferenceSteps, r.GuidanceBatch = 5, 3, 1, request.GuidanceSeparate
	generate(t, p, r)
	var sizes []int
	for _, c := range b.Calls() {
		if c.Op == fake.OpUNet {
			sizes = append(sizes, c.Batch)
		}
		if c.Op == fake.OpDecodeLatents {
			require.Equal(t, 1, c.Batch)
		}
	}
	assert.Equal(t, []int{3, 3, 2, 2}, sizes)
}

func TestAutomaticBatchIsBounded(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	for size, want := range map[int]int{64: 16, 256: 16, 512: 4, 768: 1, 1024: 1, 2048: 1} {
		r, err := p.Prepare(request.Request{Prompt: "x", Width: size, Height: size, NumImages: 100})
		require.NoError(t, err)
		assert.Equal(t, want, r.MaxBatch, size)
	}
}
