//go:build !race

package pipeline

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/convert"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// goldenAlgorithms is algo.json: adapters that depend on the weights they change, as LyCORIS and PEFT compute them.
type goldenAlgorithms struct {
	Prompt            string             `json:"prompt"`
	Seed              int64              `json:"seed"`
	NumInferenceSteps int                `json:"num_inference_steps"`
	GuidanceScale     float64            `json:"guidance_scale"`
	Stack             map[string]float64 `json:"stack"`
	Cases             map[string]struct {
		File    string          `json:"file"`
		Weight  float64         `json:"weight"`
		Tensors int             `json:"tensors"`
		Modules int             `json:"modules"`
		Config  json.RawMessage `json:"config"` // PEFT's, beside the file
	} `json:"cases"`
	paths map[string]string
}

// readGoldenAlgorithms puts each case's file, and its configuration, where PEFT would.
func readGoldenAlgorithms(t *testing.T) (*goldenAlgorithms, request.Request) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(goldens, "algo.json"))
	require.NoError(t, err)
	g := &goldenAlgorithms{paths: map[string]string{}}
	require.NoError(t, json.Unmarshal(data, g))
	require.Len(t, g.Cases, 14)
	require.Len(t, g.Stack, 6)
	for name, c := range g.Cases {
		g.paths[name] = filepath.Join(goldens, c.File)
		if c.Config == nil {
			continue
		}
		dir := t.TempDir()
		file, err := os.ReadFile(g.paths[name])
		require.NoError(t, err)
		g.paths[name] = filepath.Join(dir, "adapter_model.safetensors")
		require.NoError(t, os.WriteFile(g.paths[name], file, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "adapter_config.json"), c.Config, 0o600))
	}
	return g, request.Request{Prompt: g.Prompt, Seed: g.Seed, NumInferenceSteps: g.NumInferenceSteps, GuidanceScale: g.GuidanceScale,
		Scheduler: "EulerDiscrete"}
}

// stacks are each case by itself, six together, and one at half of its weight.
func (g *goldenAlgorithms) stacks() map[string][]lora.Adapter {
	out := map[string][]lora.Adapter{"half": {{Name: "half", Path: g.paths["peft_ia3"], Weight: new(0.5)}}}
	for name, c := range g.Cases {
		out[name] = []lora.Adapter{{Name: name, Path: g.paths[name], Weight: new(c.Weight)}}
	}
	for _, name := range sortedNames(g.Stack) {
		out["stack"] = append(out["stack"], lora.Adapter{Name: name, Path: g.paths[name], Weight: new(g.Stack[name])})
	}
	return out
}

// maxAlgorithmError is how far latents may be from the references', relative L2.
const maxAlgorithmError = 1e-4

// TestGoldenAlgorithmsLive: beside the weights each gives what its own library gives, and leaves nothing behind.
func TestGoldenAlgorithmsLive(t *testing.T) {
	t.Parallel()
	g, r := readGoldenAlgorithms(t)
	p := openNano(t, backend.PrecisionExact)
	short := r
	short.NumInferenceSteps = 1
	base, plain := latentsOf(t, p, r), latentsOf(t, p, short)
	for name, stack := range g.stacks() {
		with := r
		with.LoRAs = stack
		with.LoRAStack.Strict = true
		have, want := latentsOf(t, p, with), golden(t, "algo_"+name+"_latents").Data
		l2 := relativeL2(t, have, want)
		t.Logf("%-16s %.2g relative L2; without it %.2g", name, l2, relativeL2(t, base, want))
		assert.Less(t, l2, maxAlgorithmError, name)
		assert.Greater(t, relativeL2(t, base, want), 1e-2, "the adapter has an effect")
		with.LoRAs = append([]lora.Adapter(nil), stack...)
		for i := range with.LoRAs {
			with.LoRAs[i].Weight = new(0.0)
		}
		with.NumInferenceSteps = 1
		assert.Equal(t, plain, latentsOf(t, p, with), "%s at weight 0 is the base, bit for bit", name)
	}
	assert.Equal(t, base, latentsOf(t, p, r), "and removed too")
}

// TestAlgorithmsOfOtherTypes: what the adapters change is the same beside weights of other types, as far as those are exact.
func TestAlgorithmsOfOtherTypes(t *testing.T) {
	g, r := readGoldenAlgorithms(t)
	want, none := golden(t, "algo_stack_latents").Data, golden(t, "lora_none_latents").Data
	for name, cfg := range map[string]Config{"bf16": {Precision: backend.PrecisionBF16}, "f16": {Precision: backend.PrecisionF16},
		"q8_0": {Type: backend.TypeQ8_0}, "two threads": {Precision: backend.PrecisionExact, Threads: 2}} {
		cfg.Model, cfg.Threads = NanoModel, max(cfg.Threads, 1)
		p, err := Open(t.Context(), cfg)
		require.NoError(t, err)
		base := latentsOf(t, p, r)
		with := r
		with.LoRAs = g.stacks()["stack"]
		have := latentsOf(t, p, with)
		change, expected := make([]float32, len(have)), make([]float32, len(have))
		for i := range have {
			change[i], expected[i] = have[i]-base[i], want[i]-none[i]
		}
		l2 := relativeL2(t, change, expected)
		t.Logf("%-12s %.2g of the change", name, l2)
		assert.Less(t, l2, 0.15, name)
		require.NoError(t, p.Close())
	}
}

// TestAlgorithmsOfSteps: one that takes part in some of the steps leaves the others alone, and its weight may change between them.
func TestAlgorithmsOfSteps(t *testing.T) {
	t.Parallel()
	g, r := readGoldenAlgorithms(t)
	p := openNano(t, backend.PrecisionExact)
	base := latentsOf(t, p, r)
	for _, name := range []string{"oft", "boft_rescaled", "peft_boft", "glora", "peft_ia3"} {
		part, whole := r, r
		whole.LoRAs = []lora.Adapter{{Name: "a", Path: g.paths[name], Weight: new(g.Cases[name].Weight)}}
		part.LoRAs = []lora.Adapter{{Name: "a", Path: g.paths[name], Weight: new(g.Cases[name].Weight), End: 0.5}}
		all, some := latentsOf(t, p, whole), latentsOf(t, p, part)
		assert.NotEqual(t, base, some, name)
		assert.NotEqual(t, all, some, name)
		var h LoRAHandle
		switched := latentsOf(t, p, whole, WithLoRAs(&h), WithProgress(func(at Progress) {
			if at.Stage == StageDenoise && at.Step == at.Steps/2 {
				require.NoError(t, h.SetEnabled("a", false))
			}
		}))
		assert.Less(t, relativeL2(t, switched, some), 1e-6, "%s switched off in the middle", name)
	}
}

// TestGoldenAlgorithmsFused: added to the weights for good they give the same, by Go's arithmetic and by the library's.
func TestGoldenAlgorithmsFused(t *testing.T) {
	t.Parallel()
	g, r := readGoldenAlgorithms(t)
	base, err := nano.Path(t.Context())
	require.NoError(t, err)
	dir := t.TempDir()
	wide := filepath.Join(dir, "f32.safetensors") // the goldens' sums are not rounded to F16
	_, err = convert.Convert(t.Context(), base, wide, convert.Options{Type: modelfile.F32})
	require.NoError(t, err)
	b, err := native.New(native.Options{})
	require.NoError(t, err)
	stacks := g.stacks()
	stacks["stack by the library"] = stacks["stack"]
	for name, stack := range stacks {
		var merger backend.LoRAMerger
		file := name
		if name == "stack by the library" {
			merger, file = b, "stack"
		}
		out := filepath.Join(dir, name+".safetensors")
		report, err := adapters.Fuse(t.Context(), wide, out, adapters.FuseOptions{Merger: merger,
			Stack: lora.Stack{Adapters: stack, Options: lora.Options{Strict: true}}})
		require.NoError(t, err, name)
		if c, ok := g.Cases[name]; ok {
			assert.Equal(t, c.Tensors, report.Adapters[0].Applied, name)
			assert.Equal(t, c.Modules, report.Adapters[0].Modules, name)
		}
		p, err := Open(t.Context(), Config{Model: out, Precision: backend.PrecisionExact, Threads: 1})
		require.NoError(t, err, name)
		l2 := relativeL2(t, generate(t, p, r).Images[0].Latents.Data, golden(t, "algo_"+file+"_latents").Data)
		t.Logf("%-16s %.2g relative L2", name, l2)
		assert.Less(t, l2, maxAlgorithmError, name)
		require.NoError(t, p.Close())
		require.NoError(t, os.Remove(out))
	}
}
