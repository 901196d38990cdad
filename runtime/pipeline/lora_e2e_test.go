//go:build !race

package pipeline

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/convert"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// goldenLoRAs is lora.json.
type goldenLoRAs struct {
	Prompt            string             `json:"prompt"`
	Seed              int64              `json:"seed"`
	NumInferenceSteps int                `json:"num_inference_steps"`
	GuidanceScale     float64            `json:"guidance_scale"`
	Stack             map[string]float64 `json:"stack"`
	Cases             map[string]struct {
		File    string  `json:"file"`
		Weight  float64 `json:"weight"`
		Tensors int     `json:"tensors"`
		Modules int     `json:"modules"`
		Effect  float64 `json:"effect"`
	} `json:"cases"`
}

func readGoldenLoRAs(t *testing.T) (goldenLoRAs, request.Request) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(goldens, "lora.json"))
	require.NoError(t, err)
	var g goldenLoRAs
	require.NoError(t, json.Unmarshal(data, &g))
	require.Len(t, g.Cases, 27)
	require.Len(t, g.Stack, 8)
	return g, request.Request{Prompt: g.Prompt, Seed: g.Seed, NumInferenceSteps: g.NumInferenceSteps, GuidanceScale: g.GuidanceScale,
		Scheduler: "EulerDiscrete"}
}

// adapter is a golden's adapter at a weight.
func (g goldenLoRAs) adapter(name string, weight float64) lora.Adapter {
	return lora.Adapter{Name: name, Path: filepath.Join(goldens, g.Cases[name].File), Weight: &weight}
}

// TestGoldenLoRAsFused adds each layout's and algorithm's adapter, and a stack of eight, to the nano model's weights and compares
// the latents after 20 steps with diffusers' on W + weight * delta.
func TestGoldenLoRAsFused(t *testing.T) {
	t.Parallel()
	g, r := readGoldenLoRAs(t)
	base, err := nano.Path(t.Context())
	require.NoError(t, err)
	dir := t.TempDir()
	wide := filepath.Join(dir, "f32.safetensors") // the goldens' sums are not rounded to F16
	_, err = convert.Convert(t.Context(), base, wide, convert.Options{Type: modelfile.F32})
	require.NoError(t, err)
	none := golden(t, "lora_none_latents").Data

	stacks := map[string]lora.Stack{}
	for name, c := range g.Cases {
		stacks[name] = lora.Stack{Adapters: []lora.Adapter{g.adapter(name, c.Weight)}}
	}
	var eight lora.Stack
	for _, name := range sortedNames(g.Stack) {
		eight.Adapters = append(eight.Adapters, g.adapter(name, g.Stack[name]))
	}
	disabled := g.adapter("lcm", 1)
	disabled.Enabled = new(false)
	eight.Adapters = append(eight.Adapters, disabled)
	stacks["stack"] = eight
	for _, name := range sortedNames(stacks) {
		out := filepath.Join(dir, name+".safetensors")
		report, err := adapters.Fuse(t.Context(), wide, out, adapters.FuseOptions{Stack: stacks[name]})
		require.NoError(t, err, name)
		for _, a := range report.Adapters {
			assert.False(t, a.Partial(), a.Summary())
		}
		if c, ok := g.Cases[name]; ok {
			assert.Equal(t, c.Tensors, report.Adapters[0].Tensors, name)
			assert.Equal(t, c.Modules, report.Adapters[0].Modules, name)
		}
		p, err := Open(t.Context(), Config{Model: out, Precision: backend.PrecisionExact, Threads: 1})
		require.NoError(t, err, name)
		have, want := generate(t, p, r).Images[0].Latents.Data, golden(t, "lora_"+name+"_latents").Data
		l2 := relativeL2(t, have, want)
		t.Logf("%-15s %.2g relative L2; without it %.2g", name, l2, relativeL2(t, none, want))
		assert.Less(t, l2, 1e-3, name)
		assert.Greater(t, relativeL2(t, none, want), 1e-2, "the adapter has an effect")
		require.NoError(t, p.Close())
		require.NoError(t, os.Remove(out))
	}
}

func sortedNames[T any](m map[string]T) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
