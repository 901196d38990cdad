package request

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/stretchr/testify/require"
)

// A key that a run file leaves out, the zero field and the constructor's mean the same, and what differs is listed here.
func TestZeroFieldsMeanWhatAbsentKeysMean(t *testing.T) {
	// By key: the field of a run file without it and of Default, where that is not zero.
	absent := map[string]any{"seed": int64(RandomSeed)}
	// By key: the field of a run file that writes 0, where that is not zero.
	written := map[string]any{"guidance_scale": float64(NoGuidance), "prompt": NoPrompt}
	tried := 0
	for _, table := range []struct {
		in  string // the run file's line for "key = value"
		of  func(r Run) reflect.Value
		def any // what the constructor gives
	}{
		{"%s = %s", func(r Run) reflect.Value { return reflect.ValueOf(r.Jobs[0]) }, Default()},
		{"guidance.%s = %s", func(r Run) reflect.Value { return reflect.ValueOf(r.Jobs[0].Guidance) }, Default().Guidance},
		{"pag.%s = %s", func(r Run) reflect.Value { return reflect.ValueOf(r.Jobs[0].PAG) }, Default().PAG},
		{"seg.%s = %s", func(r Run) reflect.Value { return reflect.ValueOf(r.Jobs[0].SEG) }, Default().SEG},
		{"freeu.%s = %s", func(r Run) reflect.Value { return reflect.ValueOf(r.Jobs[0].FreeU) }, Default().FreeU},
		{"hires.%s = %s", func(r Run) reflect.Value { return reflect.ValueOf(r.Jobs[0].Hires) }, Default().Hires},
		{"tiled_diffusion.%s = %s", func(r Run) reflect.Value { return reflect.ValueOf(r.Jobs[0].TiledDiffusion) }, Default().TiledDiffusion},
		{"reuse.%s = %s", func(r Run) reflect.Value { return reflect.ValueOf(r.Jobs[0].Reuse) }, Default().Reuse},
		{"inpaint.%s = %s", func(r Run) reflect.Value { return reflect.ValueOf(r.Jobs[0].Inpaint) }, Default().Inpaint},
		{"outpaint.%s = %s", func(r Run) reflect.Value { return reflect.ValueOf(r.Jobs[0].Outpaint) }, Default().Outpaint},
		{"lora_stack.%s = %s", func(r Run) reflect.Value { return reflect.ValueOf(r.Jobs[0].LoRAStack) }, Default().LoRAStack},
		{"lora = [{%s = %s}]", func(r Run) reflect.Value { return first(r.Jobs[0].LoRAs) }, lora.Adapter{}},
		{"controlnet = [{%s = %s}]", func(r Run) reflect.Value { return first(r.Jobs[0].ControlNets) }, ControlNet{}},
		{"ip_adapter = [{%s = %s}]", func(r Run) reflect.Value { return first(r.Jobs[0].IPAdapters) }, IPAdapter{}},
		{"region = [{%s = %s}]", func(r Run) reflect.Value { return first(r.Jobs[0].Regions) }, Region{}},
		{"detail = [{%s = %s}]", func(r Run) reflect.Value { return first(r.Jobs[0].Details) }, Detail{}},
		{"model.%s = %s", func(r Run) reflect.Value { return reflect.ValueOf(r.Model) }, Model{}},
		{"model.memory.%s = %s", func(r Run) reflect.Value { return reflect.ValueOf(r.Model.Memory) }, Memory{}},
		{"model.lora_cache.%s = %s", func(r Run) reflect.Value { return reflect.ValueOf(r.Model.LoRACache) }, lora.CacheConfig{}},
	} {
		empty, err := DecodeTOML(nil)
		require.NoError(t, err)
		def := reflect.ValueOf(table.def)
		for _, f := range fieldsOf(def.Type()) {
			tried++
			zero := reflect.Zero(f.typ).Interface()
			want := zero
			if other, differs := absent[f.name]; differs && table.in == "%s = %s" {
				want = other
			}
			assert.Equal(t, want, table.of(empty).Field(f.index).Interface(), "a run file without "+table.in, f.name, "...")
			assert.Equal(t, want, def.Field(f.index).Interface(), "the constructor's %s", f.name)

			text := map[string]string{"integer": "0", "number": "0", "string": "''", "boolean": "false"}[f.kindName()]
			if text == "" {
				continue
			}
			run, err := DecodeTOML(fmt.Appendf(nil, table.in, f.name, text))
			require.NoError(t, err)
			got := table.of(run).Field(f.index)
			want = zero
			if other, differs := written[f.name]; differs && def.Type() == reflect.TypeFor[Request]() {
				want = other
			}
			if f.typ.Kind() == reflect.Pointer { // a written zero is kept apart from one that is not written
				want, got = reflect.Zero(f.typ.Elem()).Interface(), got.Elem()
			}
			assert.Equal(t, want, got.Interface(), table.in, f.name, text)
		}
	}
	assert.Len(t, Keys(), tried, "every field was tried")
}

// first is the first item, or a zero one.
func first[T any](list []T) reflect.Value {
	return reflect.ValueOf(append(list, *new(T))[0])
}

// The default tags, which say what zero means, tell the values that the pipeline takes.
func TestDefaultTags(t *testing.T) {
	tags := map[string]string{}
	for _, k := range Keys() {
		tags[join(k.Table, k.Name)] = k.Default
	}
	for key, want := range map[string]any{
		"seed": RandomSeed, "quality": DefaultQuality, "refiner_start": DefaultRefinerStart, "refiner_strength": DefaultRefinerStrength,
		"negative_aesthetic_score": DefaultNegativeAesthetic, "hires.strength": DefaultHiresStrength, "outpaint.feather": DefaultFeather,
		"guidance.method": GuidanceCFG, "guidance.norm_threshold": fmt.Sprintf("%.1f", defaultNormThreshold),
		"guidance.eta": fmt.Sprintf("%.1f", defaultEta), "guidance.zero_init_steps": defaultZeroInitSteps,
		"inpaint.padding": defaultMaskPadding, "inpaint.fill": FillOriginal,
		"strength": fmt.Sprintf("%v, with a mask %v", DefaultStrength, DefaultInpaintStrength), "rng": wordsOf("rng")[0],
		"num_inference_steps": fmt.Sprintf("the model's, else %d", DefaultNumInferenceSteps),
		"scheduler":           "the model's, else " + DefaultScheduler, "aesthetic_score": fmt.Sprintf("%.1f", DefaultAestheticScore),
		"guidance_scale": fmt.Sprintf("the model's, else %.1f", DefaultGuidanceScale), "refiner_mode": RefinerEnsemble,
		"region_mode": RegionLatent,
		"seamless":    SeamlessNone, "guidance_batch": GuidanceAuto, "prompt_syntax": SyntaxA1111, "controlnet.control_mode": controlBalanced,
		"model.memory.strategy": "auto",
	} {
		assert.Equal(t, fmt.Sprint(want), tags[key], key)
	}
}

// Every key has its line in keys.json or its own doc tag, and every line is of a key.
func TestDocsAreOfKeys(t *testing.T) {
	keys := map[string]bool{}
	for _, k := range Keys() {
		keys[join(k.Table, k.Name)] = true
	}
	for path := range known.Keys {
		assert.True(t, keys[path], path)
	}
}
