//go:build !race

package pipeline

import (
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// readRegions is readRun for runs with regions.
func readRegions(t *testing.T, name string) request.Request {
	t.Helper()
	var g struct {
		PromptWeight float64 `json:"prompt_weight"`
		RegionMode   string  `json:"region_mode"`
		Regions      []struct {
			Prompt string      `json:"prompt"`
			Box    *[4]float64 `json:"box"`
			Mask   string      `json:"mask"`
			Weight *float64    `json:"weight"`
		} `json:"regions"`
	}
	data, err := os.ReadFile(filepath.Join(goldens, "run_"+name+".json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &g))
	_, r := readRun(t, name)
	r.PromptWeight, r.RegionMode = g.PromptWeight, g.RegionMode
	for _, in := range g.Regions {
		region := request.Region{Prompt: in.Prompt, Box: in.Box, Weight: in.Weight}
		if in.Mask != "" {
			region.Mask.Path = filepath.Join(goldens, in.Mask)
		}
		r.Regions = append(r.Regions, region)
	}
	return r
}

var regionRuns = []string{"region_boxes", "region_overlap", "region_mask", "region_attention", "region_attention_overlap",
	"region_attention_mask"}

// withoutRegions is the request of the plain picture.
func withoutRegions(r request.Request) request.Request {
	r.Regions, r.PromptWeight, r.RegionMode = nil, 0, ""
	return r
}

// ofOnePrompt is the request with its own prompt in all regions.
func ofOnePrompt(r request.Request) request.Request {
	r.Regions = slices.Clone(r.Regions)
	for i := range r.Regions {
		r.Regions[i].Prompt = r.Prompt
	}
	return r
}

// TestGoldenRegions compares runs with regions with the same arithmetic on diffusers' networks, restated in tools/goldens/regions.py: boxes
// that cover the picture; boxes that overlap, with weights and the request's own prompt; a soft mask and pixels, without guidance.
func TestGoldenRegions(t *testing.T) {
	p := openNano(t, backend.PrecisionExact)
	for name, rows := range map[string]int{"region_boxes": 3, "region_overlap": 4, "region_mask": 3} {
		for _, out := range bothHalves(t, p, name, readRegions(t, name)) {
			assert.Equal(t, 8*rows, out.Timings.Evaluations, "%s: where the request's own prompt counts nowhere it is not asked", name)
		}
	}
}

// TestRegionsOfOnePrompt: the same prompt in all regions makes the plain picture, bit for bit.
func TestRegionsOfOnePrompt(t *testing.T) {
	p := openNano(t, backend.PrecisionAuto)
	for _, name := range regionRuns {
		r := readRegions(t, name)
		sameLatents(t, generate(t, p, withoutRegions(r)).Images[0], generate(t, p, ofOnePrompt(r)).Images[0], name)
	}
}

// TestRegionPrecisions: F16, BF16 and Q8_0 are within 40 dB of exact.
func TestRegionPrecisions(t *testing.T) {
	exact := openNano(t, backend.PrecisionExact)
	eachPrecision(t, func(precision string, p *Pipeline) {
		for _, name := range regionRuns {
			r := readRegions(t, name)
			r.NumInferenceSteps = 3
			db := psnr(t, generate(t, exact, r).Images[0].NRGBA, generate(t, p, r).Images[0].NRGBA)
			t.Logf("%-5s %-15s %.1f dB", precision, name, db)
			assert.Greater(t, db, 40.0, "%s, %s", precision, name)
		}
	})
}

// TestRegionBatches: pictures of a batch are those of batches of one, also where each has regions of its own.
func TestRegionBatches(t *testing.T) {
	p := openNano(t, backend.PrecisionExact)
	for _, name := range regionRuns[1:] {
		r := readRegions(t, name)
		r.NumImages, r.NumInferenceSteps = 3, 2
		together := generate(t, p, r)
		for i, img := range together.Images {
			one := r
			one.NumImages, one.Seed = 1, r.Seed+int64(i)
			assert.Less(t, relativeL2(t, img.Latents.Data, generate(t, p, one).Images[0].Latents.Data), 1e-5, "%s: picture %d", name, i)
		}
	}
	for _, name := range []string{"region_boxes", "region_attention"} {
		ofRequests(t, p, name)
	}
}

// ofRequests: two requests with regions of their own share a batch, and each has its own picture.
func ofRequests(t *testing.T, p *Pipeline, name string) {
	boxes, other := readRegions(t, name), readRegions(t, name)
	other.Regions[0].Box, other.Regions[1].Box = &[4]float64{0, 0, 1, 0.5}, &[4]float64{0, 0.5, 1, 1}
	other.Regions[1].Prompt, other.Seed = "a green star on a black background", 5
	boxes.NumInferenceSteps, other.NumInferenceSteps = 2, 2
	b := NewBatcher(BatcherOptions{Paused: true}, p)
	defer b.Close()
	var jobs []*BatchJob
	list, got := []request.Request{boxes, other}, make([]Image, 2)
	sizes := map[int]bool{}
	for i, r := range list {
		plan, err := b.Plan(r)
		require.NoError(t, err)
		job, err := b.Submit(t.Context(), plan, JobOptions{OnImage: func(img Image) error { got[i] = img; return nil },
			OnProgress: func(at Progress) { sizes[at.Together] = true }})
		require.NoError(t, err)
		jobs = append(jobs, job)
	}
	b.Resume()
	for i, job := range jobs {
		require.NoError(t, job.Wait(t.Context()))
		assert.Less(t, relativeL2(t, got[i].Latents.Data, generate(t, p, list[i]).Images[0].Latents.Data), 1e-5, "request %d", i)
	}
	assert.Contains(t, sizes, 2, "both in one batch")
}

// TestRegionPasses: regions act in a second pass at its own size, in a refiner, and beside a mask.
func TestRegionPasses(t *testing.T) {
	p := openWithRefiner(t, backend.PrecisionAuto)
	for name, edit := range map[string]func(r *request.Request){
		"hires":  func(r *request.Request) { r.Hires = request.Hires{Scale: 1.5, Strength: 0.6} },
		"refine": func(r *request.Request) { r.RefinerMode = request.RefinerEnsemble },
		"inpaint": func(r *request.Request) {
			r.InitImage.Path, r.MaskImage.Path = filepath.Join(goldens, "input_picture.png"), filepath.Join(goldens, "input_mask.png")
			r.Strength = 0.9
		},
	} {
		for _, run := range []string{"region_overlap", "region_mask", "region_attention"} {
			r := readRegions(t, run)
			r.NumInferenceSteps, r.RefinerMode = 4, request.RefinerNone
			edit(&r)
			want := generate(t, p, withoutRegions(r)).Images[0]
			sameLatents(t, want, generate(t, p, ofOnePrompt(r)).Images[0], name+", one prompt, "+run)
			assert.Greater(t, relativeL2(t, want.Latents.Data, generate(t, p, r).Images[0].Latents.Data), 1e-3, "%s: %s", name, run)
		}
	}
}

// TestRegionPlan: pictures do not depend on how weights are held, bit for bit, and the plan's buffer of the UNet is what the library takes.
func TestRegionPlan(t *testing.T) {
	for name, strategies := range map[string][]string{"region_overlap": {memory.Resident, memory.Stage, memory.Stream},
		"region_mask": {memory.Resident, memory.Mmap}, "region_attention_overlap": {memory.Resident, memory.Stage, memory.Stream},
		"region_attention_mask": {memory.Resident, memory.Mmap}} {
		var want Image
		for _, strategy := range strategies {
			r := readRegions(t, name)
			r.NumInferenceSteps, r.NumImages = 2, 2
			cfg := Config{Model: NanoModel, Device: "cpu", Threads: 1, Precision: backend.PrecisionF16,
				Memory: request.Memory{Strategy: strategy}}
			plan, err := Plan(t.Context(), cfg, []request.Request{r})
			require.NoError(t, err)
			p, err := Open(t.Context(), cfg, WithJobs(r))
			require.NoError(t, err)
			var taken int64
			got := generate(t, p, r, WithProgress(func(at Progress) {
				if at.Stage == StageDenoise && at.Step == 1 {
					taken = p.models.Base.MemoryStats().Compute
				}
			})).Images[1]
			require.NoError(t, p.Close())
			if want.NRGBA == nil {
				want = got
			}
			sameLatents(t, want, got, name+", "+strategy)
			assert.Equal(t, taken, plan.Jobs[0].Breakdown.Of(memory.StageDenoise, memory.OwnerModel, memory.UNet, memory.UseCompute),
				"%s, %s", name, strategy)
		}
	}
}

// TestRegionTexts: prompts of regions have edits, styles' neighbours and draws as others have; each picture draws its own.
func TestRegionTexts(t *testing.T) {
	p := openNano(t, backend.PrecisionExact)
	r := readRegions(t, "region_boxes")
	r.NumInferenceSteps, r.NumImages = 2, 3
	r.Regions[1].Prompt = "a {blue|green|yellow} [square:star:0.5] on a white background"
	out := generate(t, p, r)
	drawn := map[string]bool{}
	for _, img := range out.Images {
		m := out.Manifest(img)
		require.Len(t, m.Regions, 2)
		assert.Equal(t, []string{r.Regions[0].Prompt, r.Regions[1].Prompt}, m.Asked.Regions)
		drawn[m.Regions[1].Prompt] = true
		one := r
		one.NumImages, one.Seed = 1, img.Seed
		one.Regions = []request.Region{r.Regions[0], {Prompt: m.Regions[1].Prompt, Box: r.Regions[1].Box}}
		assert.Less(t, relativeL2(t, img.Latents.Data, generate(t, p, one).Images[0].Latents.Data), 1e-5, m.Regions[1].Prompt)
	}
	assert.Greater(t, len(drawn), 1, "the pictures drew different words")
}

// TestRegionMistakes: each kind of bad input is an error that names the key and what to do.
func TestRegionMistakes(t *testing.T) {
	grey := func(w, h int, y uint8) request.Picture {
		img := image.NewGray(image.Rect(0, 0, w, h))
		for i := range img.Pix {
			img.Pix[i] = y
		}
		return request.Picture{Image: img}
	}
	holed := image.NewNRGBA(image.Rect(0, 0, 128, 128))
	holed.SetNRGBA(3, 3, color.NRGBA{255, 255, 255, 255})
	p := openNano(t, backend.PrecisionAuto)
	box := func(b ...float64) func(r *request.Request) {
		return func(r *request.Request) { r.Regions[1].Box = (*[4]float64)(b) }
	}
	mask := func(pic request.Picture) func(r *request.Request) {
		return func(r *request.Request) { r.Regions[1].Box, r.Regions[1].Mask = nil, pic }
	}
	for name, c := range map[string]struct {
		edit func(r *request.Request)
		says string
	}{
		"outside, pixels":     {box(0, 0, 200, 100), "region[1].box: is [0 0 200 100], and the picture is 128 x 128: the region reaches outside"},
		"outside, parts":      {box(0.5, 0, 1.5, 1), "is no whole number; give parts from 0 to 1, or whole pixels"},
		"below 0":             {box(-0.5, 0, 0.5, 1), "it must lie within the picture"},
		"nothing":             {box(0.5, 0, 0.5, 1), "it holds nothing; the order is left, top, right, bottom"},
		"turned":              {box(0.8, 0, 0.2, 1), "it holds nothing"},
		"no place":            {func(r *request.Request) { r.Regions[1].Box = nil }, "region[1].box: is missing"},
		"two places":          {func(r *request.Request) { r.Regions[1].Mask = grey(128, 128, 255) }, "region[1].box: is given beside mask"},
		"no prompt":           {func(r *request.Request) { r.Regions[1].Prompt = "" }, "region[1].prompt: is missing"},
		"no weight":           {func(r *request.Request) { r.Regions[1].Weight = new(0.0) }, "region[1].weight: is 0"},
		"weight":              {func(r *request.Request) { r.Regions[1].Weight = new(-1.0) }, "region[1].weight"},
		"empty mask":          {mask(grey(128, 128, 0)), "region[1].mask: is black everywhere"},
		"mask's size":         {mask(grey(128, 100, 255)), "region[1].mask: is 128 x 100, and the picture is 128 x 128"},
		"transparent mask":    {mask(request.Picture{Image: holed}), "region[1].mask: has transparent parts"},
		"no such mask":        {mask(request.Picture{Path: "nowhere.png"}), "region[1].mask: "},
		"LoRA":                {func(r *request.Request) { r.Regions[1].Prompt += " <lora:ink:1>" }, `region[1].prompt: names the LoRA "ink"`},
		"AND within":          {func(r *request.Request) { r.Regions[1].Prompt += " AND a star" }, "region[1].prompt: AND joins prompts for all"},
		"AND":                 {func(r *request.Request) { r.Prompt += " AND a star" }, "prompt: AND cannot be used with regions"},
		"unclosed edit":       {func(r *request.Request) { r.Regions[1].Prompt = "[a:b:0.5" }, "region[1].prompt: "},
		"PAG":                 {func(r *request.Request) { r.PAG.Scale = 3 }, "pag: cannot be used with regions"},
		"SEG":                 {func(r *request.Request) { r.SEG.Scale = 3 }, "seg: cannot be used with regions"},
		"T-GATE":              {func(r *request.Request) { r.Reuse.TGate = 3 }, "reuse.tgate: cannot be used with regions"},
		"too many":            {func(r *request.Request) { r.Regions = make([]request.Region, 17) }, "region: has 17 entries"},
		"weight of no region": {func(r *request.Request) { r.Regions, r.PromptWeight = nil, 0.5 }, "prompt_weight: there is no region"},
		"mode of no region":   {func(r *request.Request) { r.Regions, r.RegionMode = nil, "attention" }, "region_mode: there is no region"},
		"unknown mode":        {func(r *request.Request) { r.RegionMode = "atention" }, "region_mode: "},
		"only masked": {func(r *request.Request) {
			r.InitImage, r.MaskImage, r.Inpaint.OnlyMasked = grey(128, 128, 9), grey(128, 128, 255), true
		}, "inpaint.only_masked: cannot be used with regions"},
	} {
		r := readRegions(t, "region_boxes")
		c.edit(&r)
		_, err := p.Generate(t.Context(), r)
		require.ErrorIs(t, err, request.ErrInvalid, name)
		assert.ErrorContains(t, err, c.says, name)
	}
	r := readRegions(t, "region_boxes")
	out := generate(t, p, r)
	assert.Contains(t, fmt.Sprint(out.Warnings), "prompt counts nowhere")
}
