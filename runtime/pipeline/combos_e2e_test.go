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
// a few). Each picture is that of a batch of one, and the plan's compute buffers are what the library takes.
func TestCombinations(t *testing.T) {
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

// The largest share by which the taken buffer may be above the planned one. A plan does not know what the products of adapters add. And
// where evaluations of other numbers of rows follow each other, a buffer that grows is a little larger than one that is made for the
// largest: so it is with intervals, and where pictures are left out.
const (
	offPlan        = 0.05
	offPlanGrowing = 0.15
	offPlanLoRA    = 0.45
)

func checkCombination(t *testing.T, c combo, list []factor) {
	cfg, r := c.made(list)
	plan, err := Plan(t.Context(), cfg, []request.Request{r})
	require.NoError(t, err)
	together, singles, taken := c.run(t, cfg, r)
	planned := int64(0)
	for _, s := range plan.Jobs[0].Breakdown.Stages {
		for _, item := range s.Items {
			if item.Use == memory.UseCompute && item.Owner == memory.OwnerModel {
				planned = max(planned, item.Bytes)
			}
		}
	}
	off := offPlan
	switch {
	case c.has(list, "lora"):
		off = offPlanLoRA
	case c.has(list, "interval"), c.has(list, "reuse"):
		off = offPlanGrowing
	}
	assert.LessOrEqual(t, float64(taken), float64(planned)*(1+off), "taken and planned buffers")
	assert.GreaterOrEqual(t, float64(taken), float64(planned)*(1-offPlanGrowing), "taken and planned buffers")

	worst := farthest(t, together, singles)
	t.Logf("latents differ by %.2g from batches of one; buffers: planned %d, taken %d (%+.1f %%)", worst, planned, taken,
		100*(float64(taken)/float64(planned)-1))
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

// run makes a request's pictures, together and each in a batch of one. taken is the largest buffer of the base's.
func (c combo) run(t *testing.T, cfg Config, r request.Request) (together, singles []Image, taken int64) {
	p, err := Open(t.Context(), cfg, WithJobs(r))
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	together = generate(t, p, r).Images
	require.Len(t, together, max(r.NumImages, 1))
	taken = p.models.Base.MemoryStats().ComputePeak
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
