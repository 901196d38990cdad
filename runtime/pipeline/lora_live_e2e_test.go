//go:build !race

package pipeline

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// with returns r with golden adapters at weights.
func (g goldenLoRAs) with(r request.Request, weights map[string]float64) request.Request {
	for _, name := range sortedNames(weights) {
		r.LoRAs = append(r.LoRAs, lora.Adapter{Path: g.adapter(name, 1).Path, Weight: new(weights[name])})
	}
	return r
}

// TestGoldenLoRAsLive applies each layout's and algorithm's adapter, and a stack of eight, beside the weights.
func TestGoldenLoRAsLive(t *testing.T) {
	t.Parallel()
	g, r := readGoldenLoRAs(t)
	p := openNano(t, backend.PrecisionExact)
	short := r
	short.NumInferenceSteps = 1
	base := latentsOf(t, p, short)
	for _, name := range append(sortedNames(g.Cases), "stack") {
		weights := g.Stack
		if name != "stack" {
			weights = map[string]float64{name: g.Cases[name].Weight}
		}
		with := g.with(r, weights)
		with.LoRAs = append(with.LoRAs, lora.Adapter{Path: g.adapter("lcm", 1).Path, Name: "off", Enabled: new(false)})
		l2 := relativeL2(t, latentsOf(t, p, with), golden(t, "lora_"+name+"_latents").Data)
		t.Logf("%-15s %.2g relative L2", name, l2)
		assert.Less(t, l2, 1e-3, name)
		for i := range with.LoRAs {
			with.LoRAs[i].Weight = new(0.0)
		}
		with.NumInferenceSteps = 1
		assert.Equal(t, base, latentsOf(t, p, with), "%s at weight 0 is the base, bit for bit", name)
	}
	assert.Equal(t, base, latentsOf(t, p, short), "and removed too")
}

// TestLoRAHandleLive changes weights 100 times in a run whose files are gone.
func TestLoRAHandleLive(t *testing.T) {
	g, r := readGoldenLoRAs(t)
	data, err := os.ReadFile(g.adapter("kohya", 1).Path)
	require.NoError(t, err)
	dir := t.TempDir()
	path := dir + "/moving.safetensors"
	require.NoError(t, os.WriteFile(path, data, 0o644))
	p := openNano(t, backend.PrecisionExact)
	r.NumInferenceSteps = 101
	r.LoRAs = []lora.Adapter{{Path: path, Weight: new(0.0)}}
	base := latentsOf(t, p, r)
	var h LoRAHandle
	changed := latentsOf(t, p, r, WithLoRAs(&h), WithProgress(func(at Progress) {
		if at.Stage == StageDenoise && at.Step < at.Steps {
			_ = os.Remove(path) // whoever reads it from now on fails
			require.NoError(t, h.SetUNetWeight("moving", float64(at.Step)/100))
		}
	}))
	assert.NotEqual(t, base, changed)
	assert.Equal(t, 1, p.LoRAStats().Loads)
}

// TestLoRAsOnQuantizedModels applies adapters beside quantized weights: the picture comes near diffusers' with the adapter, and at
// weight 0 it is the quantized model's own, bit for bit.
func TestLoRAsOnQuantizedModels(t *testing.T) {
	g, r := readGoldenLoRAs(t)
	for _, typ := range []backend.Type{backend.TypeQ8_0, backend.TypeQ5_1} {
		p, err := Open(t.Context(), Config{Model: NanoModel, Type: typ, Threads: 1})
		require.NoError(t, err)
		base := latentsOf(t, p, r)
		for _, name := range []string{"kohya", "stack"} {
			weights := g.Stack
			if name != "stack" {
				weights = map[string]float64{name: g.Cases[name].Weight}
			}
			want := golden(t, "lora_"+name+"_latents").Data
			with := g.with(r, weights)
			l2, without := relativeL2(t, latentsOf(t, p, with), want), relativeL2(t, base, want)
			t.Logf("%s, %s: %.2g relative L2, without the adapter %.2g", typ, name, l2, without)
			assert.Less(t, l2, without/2, "%s on %s", name, typ)
			for i := range with.LoRAs {
				with.LoRAs[i].Weight = new(0.0)
			}
			assert.Equal(t, base, latentsOf(t, p, with), "%s on %s at weight 0", name, typ)
		}
		require.NoError(t, p.Close())
	}
}
