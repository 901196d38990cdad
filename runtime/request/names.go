package request

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/lora"
)

// The programs whose names for things are understood.
const (
	Diffusers = "diffusers"
	A1111     = "A1111" // AUTOMATIC1111's web API: /sdapi/v1/txt2img and img2img
	ComfyUI   = "ComfyUI"
)

// Name is what another program calls a key.
type Name struct {
	Table string // as Key.Table: "" for a job, "model", "lora", "controlnet"
	Name  string // its name there, in snake_case
	From  string // Diffusers, A1111 or ComfyUI
	Key   string // the key of the same table; "model.x" for one of [model]; "x.y" for one within a table; "" where it is left out
	Doc   string // what is done besides renaming; "" if nothing

	convert func(value any) (any, error) // nil: the value stays as it is
	idle    []any                        // Key is "": the values that change nothing; others are refused. nil: all are passed over
}

// Names lists the names that are understood besides the keys themselves.
func Names() []Name { return slices.Clone(names) }

var names = []Name{
	{Name: "num_images_per_prompt", From: Diffusers, Key: "num_images"},
	{Name: "image", From: Diffusers, Key: "init_image", convert: pictureValue},
	{Name: "high_noise_frac", From: Diffusers, Key: "refiner_start"},
	{Name: "pretrained_model_name_or_path", From: Diffusers, Key: "model.model"},
	{Name: "torch_dtype", From: Diffusers, Key: "model.precision", convert: table("torch.", dtypes),
		Doc: "float32, float16 and bfloat16 are f32, f16 and bf16"},
	{Name: "eta", From: Diffusers, Key: "scheduler_options.eta", Doc: "null is left out"},
	{Name: "output_type", From: Diffusers, Doc: "left out"},
	{Name: "return_dict", From: Diffusers, Doc: "left out"},

	{Name: "steps", From: A1111, Key: "num_inference_steps"},
	{Name: "cfg_scale", From: A1111, Key: "guidance_scale"},
	{Name: "sampler_name", From: A1111, Key: "scheduler", Doc: "a key scheduler beside it is then sigmas"},
	{Name: "sampler_index", From: A1111, Key: "scheduler", Doc: "left out beside sampler_name"},
	{Name: "denoising_strength", From: A1111, Key: "strength", Doc: "left out where there is no picture to start from"},
	{Name: "init_images", From: A1111, Key: "init_image", convert: pictureValue, Doc: "a list of one; base64 is a picture"},
	{Name: "mask", From: A1111, Key: "mask_image", convert: pictureValue, Doc: "base64 is a picture"},
	{Name: "n_iter", From: A1111, Key: "num_images", Doc: "num_images is n_iter x batch_size"},
	{Name: "batch_size", From: A1111, Key: "max_batch"},
	{Name: "refiner_checkpoint", From: A1111, Key: "model.refiner"},
	{Name: "refiner_switch_at", From: A1111, Key: "refiner_start"},
	{Name: "s_churn", From: A1111, Key: "scheduler_options.s_churn"},
	{Name: "s_tmin", From: A1111, Key: "scheduler_options.s_tmin"},
	{Name: "s_tmax", From: A1111, Key: "scheduler_options.s_tmax", convert: notZero, Doc: "0 is left out: there it is no limit"},
	{Name: "s_noise", From: A1111, Key: "scheduler_options.s_noise"},
	{Name: "enable_hr", From: A1111, Doc: "false leaves out all that begins with hr_; denoising_strength is hires.strength where it is on"},
	{Name: "hr_scale", From: A1111, Key: "hires.scale"},
	{Name: "hr_resize_x", From: A1111, Key: "hires.width", convert: notZero, Doc: "0 is left out"},
	{Name: "hr_resize_y", From: A1111, Key: "hires.height", convert: notZero, Doc: "0 is left out"},
	{Name: "hr_second_pass_steps", From: A1111, Key: "hires.steps", convert: notZero, Doc: "the steps that the second pass makes, so that hires.steps is this divided by hires.strength; 0 with enable_hr: as many as steps"},
	{Name: "hr_upscaler", From: A1111, Key: "hires.upscaler", convert: hiresUpscaler, Doc: "Latent, Latent (nearest-exact) and Lanczos are latent, latent_nearest and picture; other names are model, the upscaler of [model]"},
	{Name: "hr_prompt", From: A1111, idle: []any{}},
	{Name: "hr_negative_prompt", From: A1111, idle: []any{}},
	{Name: "hr_checkpoint_name", From: A1111, idle: []any{"Use same checkpoint"}},
	{Name: "hr_sampler_name", From: A1111, idle: []any{"Use same sampler"}},
	{Name: "hr_scheduler", From: A1111, idle: []any{"Use same scheduler"}},
	{Name: "override_settings", From: A1111, Doc: "sd_model_checkpoint and sd_vae are model.model and model.vae; others are refused"},
	{Name: "alwayson_scripts", From: A1111, Doc: "controlnet's units are [[controlnet]]; others are refused"},
	{Name: "restore_faces", From: A1111, idle: []any{false}},
	{Name: "tiling", From: A1111, Key: "seamless", convert: tiling, Doc: "true is both, false is left out"},
	{Name: "styles", From: A1111, idle: []any{}},
	{Name: "subseed", From: A1111, Doc: "left out; subseed_strength decides"},
	{Name: "subseed_strength", From: A1111, idle: []any{0.0}},
	{Name: "seed_resize_from_h", From: A1111, idle: []any{0.0, -1.0}},
	{Name: "seed_resize_from_w", From: A1111, idle: []any{0.0, -1.0}},
	{Name: "script_name", From: A1111, idle: []any{""}},
	{Name: "script_args", From: A1111, Doc: "left out; script_name decides"},
	{Name: "s_min_uncond", From: A1111, idle: []any{0.0}},
	{Name: "disable_extra_networks", From: A1111, idle: []any{false}},
	{Name: "firstphase_width", From: A1111, idle: []any{0.0}},
	{Name: "firstphase_height", From: A1111, idle: []any{0.0}},
	{Name: "override_settings_restore_afterwards", From: A1111, Doc: "left out"},
	{Name: "do_not_save_samples", From: A1111, Doc: "left out"},
	{Name: "do_not_save_grid", From: A1111, Doc: "left out"},
	{Name: "send_images", From: A1111, Doc: "left out"},
	{Name: "save_images", From: A1111, Doc: "left out"},
	{Name: "include_init_images", From: A1111, Doc: "left out"},
	{Name: "force_task_id", From: A1111, Doc: "left out"},
	{Name: "comments", From: A1111, Doc: "left out"},

	{Table: "model", Name: "pretrained_model_name_or_path", From: Diffusers, Key: "model"},
	{Table: "model", Name: "torch_dtype", From: Diffusers, Key: "precision", convert: table("torch.", dtypes), Doc: "float32, float16 and bfloat16 are f32, f16 and bf16"},
	{Table: "model", Name: "sd_model_checkpoint", From: A1111, Key: "model"},
	{Table: "model", Name: "sd_vae", From: A1111, Key: "vae"},

	{Table: "lora", Name: "adapter_name", From: Diffusers, Key: "name"},
	{Table: "lora", Name: "adapter_weight", From: Diffusers, Key: "weight"},
	{Table: "lora", Name: "multiplier", From: A1111, Key: "weight"},
	{Table: "lora", Name: "lora_name", From: ComfyUI, Key: "name"},
	{Table: "lora", Name: "strength_model", From: ComfyUI, Key: "unet_weight"},
	{Table: "lora", Name: "strength_clip", From: ComfyUI, Key: "text_encoder_weight"},

	{Table: "controlnet", Name: "controlnet_conditioning_scale", From: Diffusers, Key: "weight"},
	{Table: "controlnet", Name: "control_image", From: Diffusers, Key: "image", convert: pictureValue},
	{Table: "controlnet", Name: "control_guidance_start", From: Diffusers, Key: "start"},
	{Table: "controlnet", Name: "control_guidance_end", From: Diffusers, Key: "end"},
	{Table: "controlnet", Name: "guess_mode", From: Diffusers, Key: "control_mode", convert: guessMode, Doc: "true is control, false balanced"},
	{Table: "controlnet", Name: "module", From: A1111, Key: "preprocessor"},
	{Table: "controlnet", Name: "input_image", From: A1111, Key: "image", convert: pictureValue, Doc: "base64 is a picture"},
	{Table: "controlnet", Name: "guidance_start", From: A1111, Key: "start"},
	{Table: "controlnet", Name: "guidance_end", From: A1111, Key: "end"},
	{Table: "controlnet", Name: "strength", From: ComfyUI, Key: "weight"},
	{Table: "controlnet", Name: "start_percent", From: ComfyUI, Key: "start"},
	{Table: "controlnet", Name: "end_percent", From: ComfyUI, Key: "end"},
	{Table: "controlnet", Name: "enabled", From: A1111, idle: []any{true}, Doc: "units of alwayson_scripts that are not enabled are left out"},
	{Table: "controlnet", Name: "threshold_a", From: A1111, Doc: "preprocessor_options.low_threshold where the module is canny; otherwise left out"},
	{Table: "controlnet", Name: "threshold_b", From: A1111, Doc: "preprocessor_options.high_threshold where the module is canny; otherwise left out"},
	{Table: "controlnet", Name: "pixel_perfect", From: A1111, Doc: "left out: a map always has the picture's size"},
	{Table: "controlnet", Name: "processor_res", From: A1111, Doc: "left out: a map always has the picture's size"},
	{Table: "controlnet", Name: "lowvram", From: A1111, Doc: "left out"},
	{Table: "controlnet", Name: "low_vram", From: A1111, Doc: "left out"},
	{Table: "controlnet", Name: "save_detected_map", From: A1111, Doc: "left out"},
	{Table: "controlnet", Name: "mask", From: A1111, idle: []any{}},
}

// dtypes are torch's names for the values of precision.
var dtypes = map[string]string{"float32": "f32", "float16": "f16", "bfloat16": "bf16"}

// tableNames holds the names of a struct's keys, by their folded spelling.
var tableNames = map[reflect.Type]map[string]Name{
	reflect.TypeFor[Request]():      namesOf(""),
	reflect.TypeFor[Model]():        namesOf("model"),
	reflect.TypeFor[lora.Adapter](): namesOf("lora"),
	reflect.TypeFor[ControlNet]():   namesOf("controlnet"),
}

func namesOf(table string) map[string]Name {
	out := map[string]Name{}
	for _, n := range names {
		if n.Table == table {
			out[fold(n.Name)] = n
		}
	}
	return out
}

// rename gives the keys of a table this package's names. Values keep the paths under which they were written.
func (d *decoder) rename(known map[string]Name, table map[string]any, at string) map[string]any {
	out := make(map[string]any, len(table))
	for key, value := range table {
		if _, foreign := known[fold(key)]; !foreign {
			out[key] = value
		}
	}
	for _, key := range sortedKeys(table) {
		value, here := unwrap(table[key], place{written: join(at, key)})
		n, ok := known[fold(key)]
		if !ok {
			continue
		}
		if n.Key == "" {
			d.leaveOut(n, value, here.written)
			continue
		}
		if value == nil {
			continue // other programs write null for what is not given
		}
		if n.convert != nil {
			converted, err := n.convert(value)
			if err != nil {
				d.errs.Add(here.written, "%v", err)
				continue
			}
			if value = converted; value == nil {
				continue
			}
		}
		d.put(out, n.Key, moved{value, here.written})
	}
	return out
}

// put adds a value under a key, or one within a table, and refuses a second one.
func (d *decoder) put(table map[string]any, key string, value moved) {
	outer, inner, within := strings.Cut(key, ".")
	if within && outer != "model" {
		outer = spellingIn(table, outer)
		have, at := unwrap(table[outer], place{written: outer})
		options, isTable := have.(map[string]any)
		if have != nil && !isTable {
			return // which is an error of its own
		}
		options = snakeKeys(options)
		if _, given := options[inner]; given {
			d.errs.Add(value.path, "is given twice, also as %s", join(at.written, inner))
			return
		}
		if options[inner] = value; strings.HasSuffix(fold(outer), "options") {
			options[inner] = value.value // which is taken as it is
		}
		table[outer] = options
		return
	}
	if have := spellingIn(table, key); table[have] != nil {
		_, at := unwrap(table[have], place{written: have})
		d.errs.Add(value.path, "is given twice, also as %s", at.written)
		return
	}
	table[key] = value
}

// spellingIn returns the key of a table that is the given one in any spelling, or the given one.
func spellingIn(table map[string]any, key string) string {
	for have := range table {
		if fold(have) == fold(key) {
			return have
		}
	}
	return key
}

// leaveOut refuses values of what is not offered, unless they ask for nothing.
func (d *decoder) leaveOut(n Name, value any, path string) {
	if n.idle == nil || value == nil || isEmpty(value) {
		return
	}
	for _, idle := range n.idle {
		if x, ok := number(value); ok && idle == x || idle == value {
			return
		}
	}
	d.errs.Add(path, "is %s; this is not offered: leave it out", kindOf(value))
}

func isEmpty(value any) bool {
	switch v := value.(type) {
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	case string:
		return v == ""
	}
	return false
}

// table converts the names in it, after a prefix that they may have; others stay as they are.
func table(prefix string, names map[string]string) func(any) (any, error) {
	return func(value any) (any, error) {
		if s, ok := value.(string); ok {
			if w, known := names[strings.ToLower(strings.TrimPrefix(s, prefix))]; known {
				return w, nil
			}
		}
		return value, nil
	}
}

// hiresUpscaler takes A1111's names of upscalers.
func hiresUpscaler(value any) (any, error) {
	name, ok := value.(string)
	if !ok || slices.Contains(HiresUpscalers, name) {
		return value, nil
	}
	switch strings.ToLower(name) {
	case "":
		return nil, nil
	case "latent", "latent (antialiased)", "latent (bicubic)", "latent (bicubic antialiased)":
		return UpscaleLatent, nil
	case "latent (nearest)", "latent (nearest-exact)":
		return UpscaleLatentNearest, nil
	case "lanczos", "none", "nearest":
		return UpscalePicture, nil
	}
	return UpscaleModel, nil
}

// notZero takes a number whose 0 means that there is none.
func notZero(value any) (any, error) {
	if x, ok := number(value); ok && x == 0 {
		return nil, nil
	}
	return value, nil
}

// tiling takes A1111's switch for pictures that continue across all borders, which says nothing where it is off.
func tiling(value any) (any, error) {
	b, ok := value.(bool)
	switch {
	case !ok:
		return nil, fmt.Errorf("is %s; expected a boolean", kindOf(value))
	case b:
		return SeamlessBoth, nil
	}
	return nil, nil
}

func guessMode(value any) (any, error) {
	if b, ok := value.(bool); ok {
		if b {
			return ControlControl, nil
		}
		return ControlBalanced, nil
	}
	return nil, fmt.Errorf("is %s; expected a boolean", kindOf(value))
}

// pictureValue takes a picture as other programs write it: a path, a data URL, bare base64, or a list of one of these.
func pictureValue(value any) (any, error) {
	switch v := value.(type) {
	case []any:
		if len(v) != 1 {
			return nil, fmt.Errorf("has %d pictures; a job starts from one", len(v))
		}
		return pictureValue(v[0])
	case map[string]any: // {"image": ..., "mask": null}, of A1111's ControlNet
		if v["mask"] == nil && v["image"] != nil {
			return pictureValue(v["image"])
		}
	case string:
		if looksLikeBase64(v) {
			return "data:;base64," + v, nil
		}
	}
	return value, nil
}

// looksLikeBase64 tells a picture in base64 from a path: it begins like one of the formats that are read.
func looksLikeBase64(s string) bool {
	for _, magic := range []string{"\x89PNG\r\n", "\xff\xd8\xff", "GIF8", "RIFF"} {
		encoded := base64.StdEncoding.EncodeToString([]byte(magic)) // the last letters depend on what follows
		if len(s) > 64 && strings.HasPrefix(s, encoded[:len(magic)*8/6]) {
			return true
		}
	}
	return false
}

// textOf returns a number or string as a string, for values that other programs write either way.
func textOf(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case int64:
		return fmt.Sprint(v)
	}
	return ""
}
