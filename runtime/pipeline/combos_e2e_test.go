//go:build !race

package pipeline

import (
	"os"
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
// a few). Each picture is that of a batch of one, and the plan's compute buffers are within 5 % of what the library takes.
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
		t.Run(c.text(list), func(t *testing.T) { checkCombination(t, c, list, i) })
	}
}

func checkCombination(t *testing.T, c combo, list []factor, number int) {
	cfg, r := c.made(list)
	plan, err := Plan(t.Context(), cfg, []request.Request{r})
	require.NoError(t, err)
	p, err := Open(t.Context(), cfg, WithJobs(r))
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	out := generate(t, p, r)
	require.Len(t, out.Images, max(r.NumImages, 1))

	planned := int64(0)
	for _, s := range plan.Jobs[0].Breakdown.Stages {
		for _, item := range s.Items {
			if item.Use == memory.UseCompute && item.Owner == memory.OwnerModel {
				planned = max(planned, item.Bytes)
			}
		}
	}
	taken := p.models.Base.MemoryStats().ComputePeak
	assert.InEpsilon(t, planned, taken, 0.05, "planned and taken buffers")

	worst := 0.0
	for i, img := range out.Images {
		one := r
		one.NumImages, one.Seed, one.MaxBatch = 1, r.Seed+int64(i), 1
		worst = max(worst, relativeL2(t, img.Latents.Data, generate(t, p, one).Images[0].Latents.Data))
	}
	t.Logf("%d: latents differ by %.2g from batches of one; buffers: planned %d, taken %d", number, worst, planned, taken)
	assert.Less(t, worst, 1e-4)
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
			require.ErrorIs(t, err, request.ErrInvalid, c.text(list))
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
