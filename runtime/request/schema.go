package request

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
)

// SchemaID names the JSON Schema of run files.
const SchemaID = "https://github.com/daguerre-go/daguerre/request.schema.json"

// enums holds the values of keys that take one of a few words, by table and name.
var enums = map[string][]string{
	"prompt_syntax": PromptSyntaxes, "rng": RNGs, "guidance_batch": GuidanceBatches, "refiner_mode": RefinerModes,
	"controlnet.control_mode": ControlModes, "controlnet.resize_mode": ControlResizeModes, "controlnet.union_type": ControlUnionTypes,
	"model.precision": Precisions, "model.type": Types, "model.unet_type": Types, "model.text_type": Types, "model.vae_type": Types,
	"model.refiner_type": Types, "model.vae_tiling": Switches, "model.vae_slicing": Switches, "model.flash_attention": Switches,
	"model.memory.strategy": Strategies, "hires.upscaler": HiresUpscalers, "seamless": Seamlesses,
}

// limit is the range of a number, and what it must be a multiple of.
type limit struct {
	min, max float64
	multiple int
}

// limits holds the ranges of numbers, as validation has them.
var limits = map[string]limit{
	"width": {0, MaxSide, 8}, "height": {0, MaxSide, 8}, "num_images": {0, MaxImages, 0}, "num_inference_steps": {0, MaxSteps, 0},
	"guidance_scale": {0, MaxGuidance, 0}, "guidance_rescale": {0, 1, 0}, "clip_skip": {0, MaxClipSkip, 0}, "strength": {0, 1, 0},
	"denoising_start": {0, below1, 0}, "denoising_end": {0, below1, 0}, "refiner_start": {0, below1, 0}, "refiner_strength": {0, 1, 0},
	"refiner_steps": {0, MaxSteps, 0}, "aesthetic_score": {0, 10, 0}, "negative_aesthetic_score": {0, 10, 0},
	"max_batch": {0, MaxImages, 0}, "quality": {0, 100, 0},
	"lora.weight": loraWeights, "lora.scaling_factor": loraWeights, "lora.unet_weight": loraWeights, "lora.text_encoder_weight": loraWeights,
	"lora.start": {0, below1, 0}, "lora.end": {0, 1, 0},
	"lora_stack.max_adapters": {0, maxAdapters, 0}, "lora_stack.global_weight": loraWeights, "lora_stack.global_scaling_factor": loraWeights,
	"controlnet.weight": {-maxControlWeight, maxControlWeight, 0}, "controlnet.start": {0, 1, 0}, "controlnet.end": {0, 1, 0},
	"model.vae_tile_overlap": {0, MaxVAETileOverlap, 0}, "model.threads": {0, 1024, 0}, "model.controlnet_cache_mb": {0, 1 << 24, 0},
	"hires.scale": {0, maxHiresScale, 0}, "hires.width": {0, MaxSide, 8}, "hires.height": {0, MaxSide, 8}, "hires.strength": {0, 1, 0}, "hires.steps": {0, MaxSteps, 0},
	"outpaint.left": {0, MaxSide, 8}, "outpaint.right": {0, MaxSide, 8}, "outpaint.top": {0, MaxSide, 8}, "outpaint.bottom": {0, MaxSide, 8},
	"outpaint.feather": {0, maxFeather, 0}, "model.text_cache_mb": {-1, 1 << 20, 0},
	"model.memory.max_batch":                   {0, MaxImages, 0},
	"model.lora_cache.cache_size":              {0, maxLoRACacheSize, 0},
	"model.lora_cache.idle_seconds":            {math.MinInt32, maxLoRAIdleSeconds, 0},
	"model.lora_cache.memory_limit_mb":         {0, maxLoRAMemoryLimitMB, 0},
	"model.lora_cache.cache_cleanup_threshold": {0, 1, 0},
}

var loraWeights = limit{-maxLoRAWeight, maxLoRAWeight, 0}

// below1 is the largest number below 1.
var below1 = math.Nextafter(1, 0)

// Schema returns the JSON Schema (draft 2020-12) of run files in JSON, with this package's keys in the given casing. It knows
// types, words and ranges; what one key demands of another is Validate's.
func Schema(c Casing) ([]byte, error) {
	s := schemas{casing: c, defs: map[string]any{}}
	job := s.object("", reflect.TypeFor[Request]())
	s.defs["job"] = job
	top := s.object("", reflect.TypeFor[Request]())
	properties := top["properties"].(map[string]any)
	model := s.object("model", reflect.TypeFor[Model]())
	s.defs["model"] = model
	properties[c.Key("model")] = map[string]any{"description": "the model's table, or its path", "anyOf": []any{map[string]any{"type": "string"}, ref("model")}}
	jobs := map[string]any{"description": "jobs; what stands beside them is their default", "type": "array", "items": ref("job")}
	properties[c.Key("jobs")], properties[c.Key("job")] = jobs, jobs
	top["$schema"], top["$id"] = "https://json-schema.org/draft/2020-12/schema", SchemaID
	top["title"], top["$defs"] = "daguerre run file", s.defs
	return json.MarshalIndent(top, "", "  ")
}

// schemas builds schemas of structs with key tags.
type schemas struct {
	casing Casing
	defs   map[string]any
}

func ref(name string) map[string]any { return map[string]any{"$ref": "#/$defs/" + name} }

// object is the schema of a struct; table is its name as Key.Table has it.
func (s schemas) object(table string, t reflect.Type) map[string]any {
	properties := map[string]any{}
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("key")
		if name == "" {
			continue
		}
		p := s.property(join(table, name), f.Type)
		p["description"] = describe(f.Tag.Get("doc"), f.Tag.Get("default"), p)
		properties[s.casing.Key(name)] = p
		if alias := f.Tag.Get("alias"); alias != "" {
			properties[s.casing.Key(alias)] = p
		}
	}
	return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
}

// describe is a key's text; a default that is a value, and not told in words, becomes the schema's own.
func describe(doc, def string, p map[string]any) string {
	if def == "" {
		return doc
	}
	var value any
	if p["type"] == "string" && !strings.ContainsAny(def, " '") && isEnum(p, def) {
		p["default"] = def
		return doc
	}
	if p["type"] != "string" && json.Unmarshal([]byte(def), &value) == nil {
		p["default"] = value
		return doc
	}
	return doc + "; default: " + def
}

func isEnum(p map[string]any, word string) bool {
	list, _ := p["enum"].([]string)
	for _, w := range list {
		if w == word {
			return true
		}
	}
	return false
}

// property is the schema of a field.
func (s schemas) property(path string, t reflect.Type) map[string]any {
	switch {
	case isTable(t):
		return s.object(path, t)
	case isTables(t):
		return map[string]any{"type": "array", "items": s.object(path, t.Elem())}
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[Size](), reflect.TypeFor[Point]():
		lowest := 0
		if t == reflect.TypeFor[Point]() {
			lowest = -MaxCoordinate
		}
		return map[string]any{"type": "array", "minItems": 2, "maxItems": 2,
			"items": map[string]any{"type": "integer", "minimum": lowest, "maximum": MaxCoordinate}}
	case reflect.TypeFor[[]string]():
		return map[string]any{"type": "array", "items": map[string]any{"type": "string"}}
	case reflect.TypeFor[map[string]any]():
		return map[string]any{"type": "object"}
	case reflect.TypeFor[map[string]float64]():
		return map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "number", "minimum": -maxLoRAWeight, "maximum": maxLoRAWeight}}
	case reflect.TypeFor[Picture](), reflect.TypeFor[Array]():
		return map[string]any{"type": "string"}
	}
	p := map[string]any{"type": map[reflect.Kind]string{reflect.Int: "integer", reflect.Int64: "integer", reflect.Float64: "number",
		reflect.Bool: "boolean", reflect.String: "string"}[t.Kind()]}
	if words, ok := enums[path]; ok {
		p["enum"] = words
	}
	if l, ok := limits[path]; ok {
		p["minimum"], p["maximum"] = l.min, l.max
		if l.multiple > 0 {
			p["multipleOf"] = l.multiple
		}
	}
	return p
}
