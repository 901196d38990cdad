//go:build !race

package pipeline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestPlannedAdapters: with adapters of every algorithm the plan's buffer of the UNet is the one that it takes, byte for byte. With some of
// them it is larger than without. make combinations takes all files, make test a few.
func TestPlannedAdapters(t *testing.T) {
	g, _ := readGoldenAlgorithms(t)
	stacks := g.stacks()
	files, err := filepath.Glob(filepath.Join(goldens, "lora_*.safetensors"))
	require.NoError(t, err)
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".safetensors")
		stacks[name] = []lora.Adapter{{Path: path}}
	}
	require.Greater(t, len(stacks), 30)
	stacks["all"] = append(append(stacks["stack"], stacks["lora_kohya"]...), stacks["lora_full"]...)
	names := append([]string{""}, sortedNames(stacks)...)
	if os.Getenv("DAGUERRE_COMBINATIONS") != "all" { // some
		names = []string{"", "all", "stack", "glora", "lora_lokr", "lora_dora_inputs", "peft_oft_wide"}
	}
	var jobs []request.Request
	for _, name := range names {
		jobs = append(jobs, request.Request{Prompt: "a red circle", Width: 64, Height: 64, NumInferenceSteps: 1, GuidanceScale: 4,
			Scheduler: "EulerDiscrete", LoRAs: stacks[name]})
	}
	for _, precision := range []backend.Precision{backend.PrecisionExact, backend.PrecisionAuto} {
		cfg := Config{Model: NanoModel, Device: "cpu", Precision: precision, Threads: 1}
		plan, err := Plan(t.Context(), cfg, jobs)
		require.NoError(t, err)
		p, err := Open(t.Context(), cfg)
		require.NoError(t, err)
		plain, larger := int64(0), 0
		for i, name := range names {
			want := plannedOf(plan.Jobs[i].Breakdown, []memory.Use{memory.UseCompute}, memory.StageDenoise)
			taken := &held{model: p.models.Base.Model}
			generate(t, p, jobs[i], WithProgress(taken.look))
			assert.Equal(t, want, taken.steps.ComputePeak, "%s, %s", precision, name)
			if i == 0 {
				plain = want
			} else if want > plain {
				larger++
			}
		}
		require.NoError(t, p.Close())
		t.Logf("%s: %d of %d sets of adapters need a larger buffer", precision, larger, len(names)-1)
		assert.Positive(t, larger)
	}
}
