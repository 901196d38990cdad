//go:build !race

package pipeline

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/convert"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// perturbedWays are requests that change a prediction inside the UNet, one of each way.
func perturbedWays() map[string]func(r *request.Request) {
	return map[string]func(r *request.Request){
		"pag": func(r *request.Request) { r.PAG = request.PAG{Scale: 3, AppliedLayers: []string{"mid", "up_blocks.0"}} },
		"seg": func(r *request.Request) {
			r.SEG = request.SEG{Scale: 2, BlurSigma: 1.5, AppliedLayers: []string{"down", "mid"}}
		},
		"both":  func(r *request.Request) { r.PAG, r.SEG = request.PAG{Scale: 2}, request.SEG{Scale: 2} },
		"alone": func(r *request.Request) { r.GuidanceScale, r.PAG = 1, request.PAG{Scale: 3} },
		"freeu": func(r *request.Request) { r.FreeU = usualFreeU() },
		"all": func(r *request.Request) {
			r.PAG, r.SEG, r.FreeU = request.PAG{Scale: 1.5}, request.SEG{Scale: 1.5, BlurSigma: 3}, usualFreeU()
		},
	}
}

func usualFreeU() request.FreeU {
	return request.FreeU{S1: new(0.9), S2: new(0.2), B1: new(1.3), B2: new(1.4)}
}

// sameLatents compares all bits.
func sameLatents(t *testing.T, want, got Image, what string) {
	t.Helper()
	assert.True(t, slices.Equal(want.Latents.Data, got.Latents.Data), what)
}

// shortRed is a golden's request in so many steps.
func shortRed(t *testing.T, steps int) request.Request {
	t.Helper()
	_, r := readRun(t, "red")
	r.NumInferenceSteps = steps
	return r
}

// TestPerturbedBatches: a picture does not depend on its batch, nor on whether its rows are evaluated at once. Evaluations are counted.
func TestPerturbedBatches(t *testing.T) {
	t.Parallel()
	p := openNano(t, backend.PrecisionExact)
	rows := map[string]int{"pag": 3, "seg": 3, "both": 4, "alone": 2, "freeu": 2, "all": 4}
	for name, edit := range perturbedWays() {
		r := shortRed(t, 2)
		edit(&r)
		r.NumImages, r.MaxBatch = 3, 1
		single := generate(t, p, r)
		assert.Equal(t, 3*2*rows[name], single.Timings.Evaluations, name)
		for most, halves := range map[int]string{3: request.GuidanceJoint, 2: request.GuidanceSeparate} {
			r.MaxBatch, r.GuidanceBatch = most, halves
			out := generate(t, p, r)
			for i, img := range out.Images {
				l2 := relativeL2(t, img.Latents.Data, single.Images[i].Latents.Data)
				assert.Less(t, l2, 1e-4, "%s: picture %d of batches of %d, %s", name, i, most, halves)
			}
			assert.Equal(t, single.Timings.Evaluations, out.Timings.Evaluations, "%s in batches of %d", name, most)
		}
	}
}

// TestPerturbedSteps: where perturbed guidance does not act in a step, its evaluation is not made; where it acts in none, all bits are the
// plain run's.
func TestPerturbedSteps(t *testing.T) {
	p := openNano(t, backend.PrecisionAuto)
	plain := shortRed(t, 10)
	want := generate(t, p, plain)
	for name, c := range map[string]struct {
		edit func(r *request.Request)
		rows int // more than the plain run's
	}{
		"pag":      {func(r *request.Request) { r.PAG.Scale = 3 }, 10},
		"start":    {func(r *request.Request) { r.PAG.Scale, r.PAG.Start = 3, 0.5 }, 4}, // steps 7 to 10: as in diffusers' guiders
		"end":      {func(r *request.Request) { r.PAG.Scale, r.PAG.End = 3, 0.3 }, 3},
		"seg":      {func(r *request.Request) { r.SEG.Scale, r.SEG.Start, r.SEG.End = 3, 0.2, 0.5 }, 2},
		"adaptive": {func(r *request.Request) { r.PAG.Scale, r.PAG.AdaptiveScale = 3, 0.01 }, 3}, // t is 999, 888, 777, then less than 700
		"never":    {func(r *request.Request) { r.PAG.Scale, r.PAG.Start = 3, 0.95 }, 0},
	} {
		r := plain
		c.edit(&r)
		out := generate(t, p, r)
		assert.Equal(t, want.Timings.Evaluations+c.rows, out.Timings.Evaluations, name)
		if c.rows == 0 {
			sameLatents(t, want.Images[0], out.Images[0], name)
		} else {
			assert.Greater(t, relativeL2(t, want.Images[0].Latents.Data, out.Images[0].Latents.Data), 1e-3, name)
		}
	}
	// in steps without guidance it goes away from the positive half alone
	alone, interval := plain, plain
	alone.PAG, interval.PAG = request.PAG{Scale: 3}, request.PAG{Scale: 3}
	alone.GuidanceScale, interval.GuidanceStop = 1, new(0.05)
	sameLatents(t, generate(t, p, alone).Images[0], generate(t, p, interval).Images[0], "an interval of no step")
}

// TestPerturbedPrecisions: F16, BF16 and Q8_0 are within 40 dB of exact.
func TestPerturbedPrecisions(t *testing.T) {
	exact := openNano(t, backend.PrecisionExact)
	eachPrecision(t, func(precision string, p *Pipeline) {
		for name, edit := range perturbedWays() {
			r := shortRed(t, 3)
			edit(&r)
			db := psnr(t, generate(t, exact, r).Images[0].NRGBA, generate(t, p, r).Images[0].NRGBA)
			t.Logf("%-5s %-5s %.1f dB", precision, name, db)
			assert.Greater(t, db, 40.0, "%s, %s", precision, name)
		}
	})
}

// TestPerturbedPlan: pictures do not depend on how weights are held, bit for bit, and the plan's buffer of the UNet is what the library
// takes.
func TestPerturbedPlan(t *testing.T) {
	for _, name := range []string{"pag", "seg", "all"} {
		for halves, strategies := range map[string][]string{request.GuidanceJoint: {memory.Resident, memory.Stream, memory.Mmap},
			request.GuidanceSeparate: {memory.Resident, memory.Stage}} {
			r := shortRed(t, 1)
			perturbedWays()[name](&r)
			r.GuidanceBatch, r.NumImages = halves, 2
			var want Image
			for _, strategy := range strategies {
				cfg := Config{Model: NanoModel, Device: "cpu", Threads: 1, Precision: backend.PrecisionF16,
					Memory: request.Memory{Strategy: strategy}}
				plan, err := Plan(t.Context(), cfg, []request.Request{r})
				require.NoError(t, err)
				p, err := Open(t.Context(), cfg, WithJobs(r))
				require.NoError(t, err, strategy)
				var taken int64
				got := generate(t, p, r, WithProgress(func(at Progress) {
					if at.Stage == StageDenoise && at.Step >= 1 {
						taken = max(taken, p.models.Base.MemoryStats().Compute)
					}
				}))
				require.NoError(t, p.Close())
				what := fmt.Sprintf("%s, %s, %s", name, halves, strategy)
				planned := plan.Jobs[0].Breakdown.Of(memory.StageDenoise, memory.OwnerModel, memory.UNet, memory.UseCompute)
				t.Logf("%-22s UNet's buffer: %d planned, %d taken", what, planned, taken)
				assert.InEpsilon(t, taken, planned, 0.05, what)
				assert.GreaterOrEqual(t, planned, taken, what)
				if want.NRGBA == nil {
					want = got.Images[1]
				}
				sameLatents(t, want, got.Images[1], what)
			}
		}
	}
}

// TestPerturbedWithLoRA: an adapter over the weights does what it does in them.
func TestPerturbedWithLoRA(t *testing.T) {
	g, _ := readGoldenLoRAs(t)
	base, err := nano.Path(t.Context())
	require.NoError(t, err)
	dir := t.TempDir()
	wide, fused := filepath.Join(dir, "f32.safetensors"), filepath.Join(dir, "fused.safetensors")
	_, err = convert.Convert(t.Context(), base, wide, convert.Options{Type: modelfile.F32})
	require.NoError(t, err)
	adapter := g.adapter("kohya", g.Cases["kohya"].Weight)
	_, err = adapters.Fuse(t.Context(), wide, fused, adapters.FuseOptions{Stack: lora.Stack{Adapters: []lora.Adapter{adapter}}})
	require.NoError(t, err)
	over := openNano(t, backend.PrecisionExact)
	in, err := Open(t.Context(), Config{Model: fused, Precision: backend.PrecisionExact, Threads: 1})
	require.NoError(t, err)
	defer in.Close()
	for name, edit := range perturbedWays() {
		r := shortRed(t, 4)
		edit(&r)
		want, plain := generate(t, in, r).Images[0].Latents.Data, generate(t, over, r).Images[0].Latents.Data
		r.LoRAs = []lora.Adapter{adapter}
		l2 := relativeL2(t, generate(t, over, r).Images[0].Latents.Data, want)
		t.Logf("%-5s %.2g relative L2; without it %.2g", name, l2, relativeL2(t, plain, want))
		assert.Less(t, l2, 1e-4, name)
		assert.Greater(t, relativeL2(t, plain, want), 1e-2, name)
	}
}

// TestPerturbedBeforeARefiner: only the base's steps are perturbed, and the refiner goes on from what the base made of them.
func TestPerturbedBeforeARefiner(t *testing.T) {
	t.Parallel()
	p, err := Open(t.Context(), Config{Model: NanoModel, Refiner: nanoRefiner(t, false), Precision: backend.PrecisionExact, Threads: 1})
	require.NoError(t, err)
	defer p.Close()
	evaluations, r := readRefinerRun(t, "refiner")
	plain := generate(t, p, r)
	for name, edit := range perturbedWays() {
		if name == "alone" {
			continue // the plain run has guidance
		}
		changed := r
		edit(&changed)
		out := generate(t, p, changed)
		kinds := 0
		for _, on := range []bool{changed.PAG.On(), changed.SEG.On()} {
			if on {
				kinds++
			}
		}
		more := kinds * (r.NumInferenceSteps - evaluations)
		assert.Equal(t, plain.Timings.Evaluations+more, out.Timings.Evaluations, name)
		assert.Greater(t, relativeL2(t, plain.Images[0].Latents.Data, out.Images[0].Latents.Data), 1e-5, name)
	}
}

// TestPerturbedManifest: what changed a picture is in its manifest, with the defaults that counted.
func TestPerturbedManifest(t *testing.T) {
	p := openNano(t, backend.PrecisionAuto)
	r := shortRed(t, 1)
	perturbedWays()["all"](&r)
	r.NumImages = 1
	out := generate(t, p, r)
	m := out.Manifest(out.Images[0])
	require.NotNil(t, m.PAG)
	require.NotNil(t, m.SEG)
	require.NotNil(t, m.FreeU)
	assert.Equal(t, request.PAG{Scale: 1.5, AppliedLayers: []string{"mid"}, End: 1}, *m.PAG)
	assert.Equal(t, request.SEG{Scale: 1.5, BlurSigma: 3, AppliedLayers: []string{"mid"}, End: 1}, *m.SEG)
	assert.Equal(t, usualFreeU(), *m.FreeU)
	plain := generate(t, p, shortRed(t, 1))
	m = plain.Manifest(plain.Images[0])
	assert.Nil(t, m.PAG)
	assert.Nil(t, m.SEG)
	assert.Nil(t, m.FreeU)
}

// TestPerturbedMistakes: what cannot be is refused before a step is made, with the key.
func TestPerturbedMistakes(t *testing.T) {
	p := openNano(t, backend.PrecisionAuto)
	for name, c := range map[string]struct {
		edit func(r *request.Request)
		says string
	}{
		"no such layer": {func(r *request.Request) { r.PAG = request.PAG{Scale: 3, AppliedLayers: []string{"mid", "up_blocks.7"}} },
			`pag.applied_layers[1]: "up_blocks.7" fits no self-attention of this model; there are down_blocks.1.attentions.0`},
		"no such layer of SEG": {func(r *request.Request) { r.SEG = request.SEG{Scale: 3, AppliedLayers: []string{"attn2"}} },
			`seg.applied_layers[0]: "attn2" fits no self-attention`},
		"no pattern": {func(r *request.Request) { r.PAG = request.PAG{Scale: 3, AppliedLayers: []string{"("}} },
			`pag.applied_layers[0]: "(" is no pattern`},
		"negative scale":   {func(r *request.Request) { r.PAG.Scale = -1 }, "pag.scale: is -1"},
		"negative scale 2": {func(r *request.Request) { r.SEG.Scale = -1 }, "seg.scale: is -1"},
		"large scale":      {func(r *request.Request) { r.PAG.Scale = 101 }, "pag.scale: is 101"},
		"negative sigma":   {func(r *request.Request) { r.SEG = request.SEG{Scale: 3, BlurSigma: -1} }, "seg.blur_sigma: is -1"},
		"adaptive":         {func(r *request.Request) { r.PAG = request.PAG{Scale: 3, AdaptiveScale: -1} }, "pag.adaptive_scale: is -1"},
		"no scale":         {func(r *request.Request) { r.PAG.AppliedLayers = []string{"mid"} }, "pag.scale: is missing"},
		"sigma alone":      {func(r *request.Request) { r.SEG.BlurSigma = 3 }, "seg.scale: is missing"},
		"never":            {func(r *request.Request) { r.PAG = request.PAG{Scale: 3, Start: 0.5, End: 0.5} }, "pag.start: is 0.5, not before end"},
		"late":             {func(r *request.Request) { r.SEG = request.SEG{Scale: 3, End: 1.5} }, "seg.end: is 1.5"},
		"three factors":    {func(r *request.Request) { r.FreeU = request.FreeU{S1: new(0.9), S2: new(0.2), B1: new(1.3)} }, "freeu.b2: is missing"},
		"negative factor": {func(r *request.Request) {
			r.FreeU = usualFreeU()
			r.FreeU.S1 = new(-1.0)
		}, "freeu.s1: is -1"},
		"AND": {func(r *request.Request) { r.PAG.Scale, r.Prompt = 3, "a circle AND a square" }, "pag: cannot be used with AND"},
		"AND, SEG": {func(r *request.Request) { r.SEG.Scale, r.Prompt = 3, "a circle AND a square" },
			"seg: cannot be used with AND"},
		"deepcache": {func(r *request.Request) { r.PAG.Scale, r.Reuse.DeepCache = 3, 3 }, "pag: cannot be used with reuse.deepcache"},
		"tgate":     {func(r *request.Request) { r.SEG.Scale, r.Reuse.TGate = 3, 3 }, "seg: cannot be used with reuse.tgate"},
		"easycache": {func(r *request.Request) { r.PAG.Scale, r.Reuse.EasyCache = 3, 0.3 }, "pag: cannot be used with reuse.easycache"},
		"spectrum": {func(r *request.Request) { r.FreeU, r.Reuse.Spectrum = usualFreeU(), 3 },
			"freeu: cannot be used with reuse.spectrum"},
	} {
		r := shortRed(t, 6)
		c.edit(&r)
		steps := 0
		_, err := p.Generate(t.Context(), r, WithProgress(func(at Progress) { steps = max(steps, at.Step) }))
		var errs request.Errors
		if assert.ErrorAs(t, err, &errs, name) {
			assert.ErrorContains(t, err, c.says, name)
		}
		assert.Zero(t, steps, name)
	}
}
