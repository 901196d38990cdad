package recall

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// stem is a name of a file of weights without its extension; folders of ComfyUI stay.
func stem(name string) string {
	name = strings.ReplaceAll(name, `\`, "/")
	return strings.TrimSuffix(name, filepath.Ext(name))
}

// weights adds a file of weights to the parts.
func (c *comfy) weights(key, name string) string {
	named := stem(name)
	base := filepath.Base(strings.ReplaceAll(name, `\`, "/"))
	if !slices.ContainsFunc(c.parts, func(p part) bool { return p.key == key && p.name == named }) {
		c.parts = append(c.parts, part{key: key, name: named, file: base})
	}
	return named
}

// checkpoint goes from a sampler's model to the checkpoint; adapters on the way are taken. key is model or refiner.
func (c *comfy) checkpoint(n *node, key string) {
	for range len(c.nodes) {
		if n == nil {
			return
		}
		if n.off != "" {
			n = c.link(n, "model")
			continue
		}
		switch n.class {
		case "CheckpointLoaderSimple":
			if name, ok := c.text(n, "ckpt_name"); ok {
				c.model[key] = c.weights("model."+key, name)
			}
			return
		case "UNETLoader":
			if name, ok := c.text(n, "unet_name"); ok && key == "model" {
				c.model["unet"] = c.weights("model.unet", name)
				c.note("node %s: the UNet is a file of its own; give the checkpoint or folder with the other parts with --model", n.id)
			}
			return
		case "LoraLoader", "LoraLoaderModelOnly":
			c.lora(n, key)
		case "RescaleCFG":
			if key == "model" {
				c.set(n, "multiplier", "guidance_rescale")
			}
		default:
			c.why[n] = "it changes the model, and is not known here: the picture will differ"
		}
		n = c.link(n, "model")
	}
}

// lora takes an adapter. The one that is nearest to the checkpoint is found last and is the first.
func (c *comfy) lora(n *node, key string) {
	name, ok := c.text(n, "lora_name")
	unet, hasUNet := c.number(n, "strength_model")
	if !ok || !hasUNet || key != "model" {
		c.why[n] = "only the base model's adapters are used"
		return
	}
	text := 0.0
	if n.class == "LoraLoader" {
		text, _ = c.number(n, "strength_clip")
		c.link(n, "clip")
	}
	c.loras = slices.Insert(c.loras, 0, any(map[string]any{"name": c.weights("lora", name), "unet_weight": unet, "text_encoder_weight": text}))
}

// vae takes the VAE, if it is a file of its own.
func (c *comfy) vae(n *node) {
	if n == nil || n.class != "VAELoader" {
		return
	}
	if name, ok := c.text(n, "vae_name"); ok {
		c.model["vae"] = c.weights("model.vae", name)
	}
}

// conditioning goes from a sampler's conditioning to its text. ControlNets on the way are taken.
func (c *comfy) conditioning(n *node, key string) {
	for range len(c.nodes) {
		if n == nil {
			return
		}
		switch n.class {
		case "CLIPTextEncode":
			if text, ok := c.text(n, "text"); ok {
				c.job[key] = text
			} else {
				c.notUsed(n.name()+" text", "", "it comes from a node that is not plain; give it with --"+strings.ReplaceAll(key, "_", "-"))
			}
			c.clip(c.link(n, "clip"))
			return
		case "CLIPTextEncodeSDXL":
			c.sdxlText(n, key)
			return
		case "ControlNetApply", "ControlNetApplyAdvanced":
			input := c.control(n, key)
			n = c.link(n, input)
		case "ConditioningZeroOut":
			c.job[key] = ""
			if c.job["force_zeros_for_empty_prompt"] = true; key == "prompt" {
				c.why[n] = "only the negative half may be zeros"
			}
			c.linkOf(n.read("conditioning"))
			return
		default:
			c.why[n] = "it mixes or changes texts in a way that is not known here: the picture will differ"
			next := "conditioning"
			for _, input := range []string{"conditioning_1", "conditioning_to", "positive"} {
				if n.inputs[input] != nil {
					next = input
				}
			}
			n = c.link(n, next)
		}
	}
}

// sdxlText takes the texts of both encoders and the size conditioning.
func (c *comfy) sdxlText(n *node, key string) {
	g, _ := c.text(n, "text_g")
	l, _ := c.text(n, "text_l")
	if c.job[key] = l; g != l { // the first encoder is CLIP-L
		c.job[key+"_2"] = g
	}
	prefix := map[string]string{"negative_prompt": "negative_"}[key]
	for _, s := range []struct{ first, second, key string }{{"height", "width", "original_size"},
		{"crop_h", "crop_w", "crops_coords_top_left"}, {"target_height", "target_width", "target_size"}} {
		a, okA := c.number(n, s.first)
		b, okB := c.number(n, s.second)
		if okA && okB {
			c.job[prefix+s.key] = []any{json.Number(fmt.Sprint(a)), json.Number(fmt.Sprint(b))}
		}
	}
	c.clip(c.link(n, "clip"))
}

// clip goes from a text to its encoders.
func (c *comfy) clip(n *node) {
	for range len(c.nodes) {
		if n == nil {
			return
		}
		switch n.class {
		case "CheckpointLoaderSimple", "LoraLoader":
			if n.class == "CheckpointLoaderSimple" {
				return
			}
		case "CLIPSetLastLayer":
			layer, ok := c.number(n, "stop_at_clip_layer")
			const sdxl = -2 // the penultimate one
			if ok && layer <= sdxl {
				c.job["clip_skip"] = json.Number(fmt.Sprint(sdxl - layer))
			} else {
				c.notUsed(n.name()+" stop_at_clip_layer", fmt.Sprint(layer), "SDXL's text encoders end at the penultimate layer")
			}
		case "DualCLIPLoader":
			for input, key := range map[string]string{"clip_name1": "text_encoder", "clip_name2": "text_encoder_2"} {
				if name, ok := c.text(n, input); ok {
					c.model[key] = c.weights("model."+key, name)
				}
			}
			return
		default:
			c.why[n] = "it changes the text encoders, and is not known here: the picture will differ"
		}
		n = c.link(n, "clip")
	}
}

// control takes a ControlNet, and returns the input where the text goes on. It is on the way of both halves and is taken once.
func (c *comfy) control(n *node, key string) (text string) {
	text = "conditioning"
	if n.class == "ControlNetApplyAdvanced" {
		text = map[string]string{"prompt": "positive", "negative_prompt": "negative"}[key]
	}
	if n.used["strength"] {
		return text
	}
	unit := map[string]any{}
	for input, to := range map[string]string{"strength": "weight", "start_percent": "start", "end_percent": "end"} {
		if v, ok := c.number(n, input); ok {
			unit[to] = v
		}
	}
	if n.class == "ControlNetApply" {
		unit["control_mode"] = "balanced"
	}
	loader := c.link(n, "control_net")
	if loader != nil && loader.class == "SetUnionControlNetType" {
		if kind, ok := c.text(loader, "type"); ok && kind != "auto" {
			unit["union_type"] = unionType(kind)
		}
		loader = c.link(loader, "control_net")
	}
	name := ""
	if loader != nil && loader.class == "ControlNetLoader" {
		name, _ = c.text(loader, "control_net_name")
	}
	from := c.link(n, "image")
	if from != nil && from.class == "Canny" {
		unit["preprocessor"] = "canny"
		from.used["image"] = true
		from = c.linkOf(from.inputs["image"])
	}
	image := c.picture(from)
	if name == "" || image == nil {
		c.why[n] = "its file or its picture is not plain; give both with --control"
		return text
	}
	key = fmt.Sprintf("controlnet[%d].model", len(c.controls))
	unit["model"], unit["image"] = c.weights(key, name), image
	c.controls = append(c.controls, unit)
	return text
}

// unionType is this program's name of what a Union ControlNet's map shows.
func unionType(kind string) string {
	for _, part := range strings.Split(strings.ToLower(kind), "/") {
		for _, known := range []string{"openpose", "depth", "canny", "normal", "segment", "tile", "repaint"} {
			if strings.HasPrefix(part, known) {
				return known
			}
		}
		if strings.Contains(part, "scribble") || part == "hed" || strings.Contains(part, "softedge") {
			return "scribble"
		}
	}
	return kind
}

// secondPass takes a second sampler: the refiner's, or a second pass at a larger size.
func (c *comfy) secondPass(first, second *node) {
	direct := c.linkOf(second.read("latent_image")) == first
	if direct && second.class == "KSamplerAdvanced" {
		c.refiner(second)
		return
	}
	hires := map[string]any{}
	c.job["hires"] = hires
	n := c.link(second, "latent_image")
	c.enlarge(n, first, hires)
	if denoise, ok := c.number(second, "denoise"); ok && c.job["hires"] != nil {
		c.strength(second, denoise, "hires.strength", "hires.steps")
	}
	c.asBefore(first, second, "seed", "cfg", "sampler_name", "scheduler", "model", "positive", "negative")
}

// asBefore tells of inputs of a second sampler that are not the first one's, and are not used.
func (c *comfy) asBefore(first, second *node, inputs ...string) {
	for _, input := range inputs {
		a, b := first.inputs[input], second.read(input)
		if fmt.Sprint(a) != fmt.Sprint(b) {
			c.notUsed(second.name()+" "+input, clip(fmt.Sprint(b)), "the second pass has the first one's")
		}
	}
}

// refiner takes a sampler that continues the first one's steps with another model.
func (c *comfy) refiner(s *node) {
	start, ok := c.number(s, "start_at_step")
	steps, okSteps := c.number(s, "steps")
	c.checkpoint(c.link(s, "model"), "refiner")
	if ok && okSteps && steps > 0 {
		c.job["refiner_start"] = start / steps
		c.job["refiner_steps"] = json.Number(fmt.Sprint(steps))
	}
	if add, _ := c.text(s, "add_noise"); add == "disable" {
		c.notUsed(s.name()+" noise_seed", fmt.Sprint(c.value(s, "noise_seed")), "the refiner adds no noise")
	} else {
		c.notUsed(s.name()+" add_noise", add, "the refiner adds no noise: the picture will differ")
	}
	for _, half := range []string{"positive", "negative"} {
		if n := c.link(s, half); n != nil && n.class == "CLIPTextEncodeSDXLRefiner" {
			c.set(n, "ascore", map[string]string{"positive": "aesthetic_score", "negative": "negative_aesthetic_score"}[half])
		}
	}
}

// enlarge takes how a first pass is enlarged.
func (c *comfy) enlarge(n, first *node, hires map[string]any) {
	upscaler := request.UpscaleLatent
	for range len(c.nodes) {
		if n == nil || n == first {
			break
		}
		switch n.class {
		case "LatentUpscale", "LatentUpscaleBy", "ImageScale", "ImageScaleBy":
			method, _ := c.text(n, "upscale_method")
			if strings.HasPrefix(n.class, "Image") {
				upscaler = map[bool]string{true: upscaler, false: request.UpscalePicture}[upscaler == request.UpscaleModel]
				if method != "lanczos" {
					c.notUsed(n.name()+" upscale_method", method, "pictures are resized by Lanczos")
				}
			} else if strings.HasPrefix(method, "nearest") {
				upscaler = request.UpscaleLatentNearest
			}
			for input, key := range map[string]string{"width": "width", "height": "height", "scale_by": "scale"} {
				if v := c.value(n, input); v != nil {
					hires[key] = v
				}
			}
		case "ImageUpscaleWithModel":
			if loader := c.link(n, "upscale_model"); loader != nil {
				if name, ok := c.text(loader, "model_name"); ok {
					upscaler = request.UpscaleModel
					c.model["upscaler"] = c.weights("model.upscaler", name)
				}
			}
		case "VAEEncode", "VAEDecode", "VAEDecodeTiled":
			c.vae(c.link(n, "vae"))
			if upscaler == request.UpscaleLatent {
				upscaler = request.UpscalePicture
			}
		default:
			c.why[n] = "what is done between the passes is not known here"
		}
		next := "samples"
		for _, input := range []string{"pixels", "image"} {
			if n.inputs[input] != nil {
				next = input
			}
		}
		n = c.link(n, next)
	}
	hires["upscaler"] = upscaler
	if hires["width"] == nil && hires["height"] == nil && hires["scale"] == nil {
		delete(c.job, "hires")
		c.differs("the second pass does not say its size, or keeps that of the first: it is left out; --hires asks for one")
	}
}
