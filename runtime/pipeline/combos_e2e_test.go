//go:build !race

package pipeline

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// made sets up a combination.
func (c combo) made(list []factor) (Config, request.Request) {
	cfg := Config{Model: NanoModel, Device: "cpu", Threads: 1}
	r := request.Request{Prompt: "a red circle on a white background", NegativePrompt: "a star", Seed: 11, Width: 64, Height: 64,
		NumInferenceSteps: 5, GuidanceScale: 4, Scheduler: "EulerDiscrete"}
	for i, f := range list {
		f.levels[c[i]].set(&cfg, &r)
	}
	return cfg, r
}

// TestCombinations makes random combinations of all features, which together have all pairs (make combinations makes all, make test
// a few). Each picture is that of a batch of one, and the plan says what the base holds.
func TestCombinations(t *testing.T) {
	t.Parallel()
	list := factors(t)
	rows := covering(list)
	t.Logf("%d combinations of %d features have all pairs", len(rows), len(list))
	assert.GreaterOrEqual(t, len(rows), 60)
	n := 3
	if os.Getenv("DAGUERRE_COMBINATIONS") == "all" {
		n = len(rows)
	}
	for i, c := range rows[:n] {
		t.Run(fmt.Sprint(i, " ", c.text(list)), func(t *testing.T) { checkCombination(t, c, list) })
	}
}

// offPlan is the largest share by which the base may hold more than its plan. It may hold less. A plan has the adapters of the UNet in
// memory while texts are encoded, as they are for the next prompt of a run. And it has as many texts in a batch as there may be: those that
// pictures draw may be the same, which makes the buffers of steps smaller.
const (
	offPlan      = 0.05
	belowPlan    = 0.15
	belowBuffers = 0.30
)

func checkCombination(t *testing.T, c combo, list []factor) {
	cfg, r := c.made(list)
	plan, err := Plan(t.Context(), cfg, []request.Request{r})
	require.NoError(t, err)
	together, singles, taken := c.run(t, cfg, r)
	worst := farthest(t, together, singles)
	told := fmt.Sprintf("latents differ by %.2g from batches of one; taken against planned:", worst)
	b := plan.Jobs[0].Breakdown
	compute := []memory.Use{memory.UseCompute}
	everything := append(compute, memory.UseWeights, memory.UseWindow, memory.UseAdapters)
	for _, is := range []struct {
		what           string
		planned, taken int64
	}{
		{"buffers of steps", plannedOf(b, compute, memory.StageDenoise), taken.steps.ComputePeak},
		{"buffers", plannedOf(b, compute), taken.all.ComputePeak},
		{"all", plannedOf(b, everything), taken.all.TotalPeak},
	} {
		off, below := float64(is.taken)/float64(is.planned)-1, -belowBuffers
		if is.what == "all" {
			below = -belowPlan
		}
		told += fmt.Sprintf(" %s %d (%+.2f %%)", is.what, is.planned, 100*off)
		assert.Less(t, off, offPlan, "%s: planned %d, taken %d", is.what, is.planned, is.taken)
		assert.Greater(t, off, below, "%s: planned %d, taken %d", is.what, is.planned, is.taken)
	}
	t.Log(told)
	if worst < 1e-4 {
		return
	}
	// Fewer rows are rounded otherwise: by less than the precision itself costs, and not at all in exact precision.
	exact := slices.Clone(c)
	exact[len(c)-1] = 0
	cfg, r = exact.made(list)
	exactTogether, exactSingles, _ := exact.run(t, cfg, r)
	own, rounding := farthest(t, singles, exactSingles), farthest(t, exactTogether, exactSingles)
	t.Logf("the precision itself costs %.2g, and batches of one differ by %.2g in exact precision", own, rounding)
	assert.Less(t, rounding, 1e-3)
	if c[len(c)-1] > 0 {
		assert.Less(t, worst, 2*own)
	}
}

// plannedOf is the most that the base holds of some uses during a stage, or of these stages.
func plannedOf(b memory.Breakdown, uses []memory.Use, stages ...string) (most int64) {
	for _, s := range b.Stages {
		if len(stages) > 0 && !slices.Contains(stages, s.Name) {
			continue
		}
		sum := int64(0)
		for _, i := range s.Items {
			if i.Owner == memory.OwnerModel && slices.Contains(uses, i.Use) {
				sum += i.Bytes
			}
		}
		most = max(most, sum)
	}
	return most
}

// held is the most that a model held: during a run, and from the end of the first denoising step on to the end of the last. Before that
// it still has the buffers of the stage before.
type held struct {
	all, steps backend.MemoryStats
	model      backend.Model
	step       int // of this pass
	idle       int // steps that begin a pass without an evaluation: CFG-Zero*'s
}

// look takes what a model held since the last report.
func (h *held) look(at Progress) {
	now := h.model.MemoryStats()
	higher := func(to *backend.MemoryStats) {
		to.ComputePeak, to.TotalPeak = max(to.ComputePeak, now.ComputePeak), max(to.TotalPeak, now.TotalPeak)
	}
	higher(&h.all)
	step := at.Stage == StageDenoise && at.StepTime > 0
	if h.step++; !step {
		h.step = 0
	}
	if h.step == h.idle+1 {
		now.ComputePeak = now.Compute
	}
	if h.step > h.idle {
		higher(&h.steps)
	}
	h.model.ResetMemoryPeaks()
}

// run makes a request's pictures, together and each in a batch of one. taken is what the base holds for the first.
func (c combo) run(t *testing.T, cfg Config, r request.Request) (together, singles []Image, taken *held) {
	p, err := Open(t.Context(), cfg, WithJobs(r))
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	taken = &held{model: p.models.Base.Model}
	if r.Guidance.Method == request.GuidanceCFGZeroStar {
		taken.idle = 1
	}
	together = generate(t, p, r, WithProgress(taken.look)).Images
	require.Len(t, together, max(r.NumImages, 1))
	for i := range together {
		one := r
		one.NumImages, one.Seed, one.MaxBatch = 1, r.Seed+int64(i), 1
		singles = append(singles, generate(t, p, one).Images[0])
	}
	return together, singles, taken
}

// farthest is how much the latents of two lists differ at most.
func farthest(t *testing.T, a, b []Image) (worst float64) {
	for i := range a {
		worst = max(worst, relativeL2(t, a[i].Latents.Data, b[i].Latents.Data))
	}
	return worst
}

// TestRefusedCombinations: what cannot be combined is an error that names both, before a weight is read.
func TestRefusedCombinations(t *testing.T) {
	list := factors(t)
	tried := 0
	for _, want := range refusals {
		for _, c := range combosOf(list, want) {
			tried++
			cfg, r := c.made(list)
			_, err := Plan(t.Context(), cfg, []request.Request{r})
			require.Error(t, err, c.text(list))
			for _, says := range want.says {
				assert.ErrorContains(t, err, says, c.text(list))
			}
		}
	}
	assert.Greater(t, tried, len(refusals))
}

// combosOf lists the pairs that a refusal is about, without anything else but what a feature needs.
func combosOf(list []factor, r refusal) (out []combo) {
	for a := range list {
		for b := a + 1; b < len(list); b++ {
			for x := range list[a].levels {
				for y := range list[b].levels {
					if two(list, pair{a, x, b, y}, r) {
						c := make(combo, len(list))
						c[a], c[b] = x, y
						out = append(out, c)
					}
				}
			}
		}
	}
	return out
}
