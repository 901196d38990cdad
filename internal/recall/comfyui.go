package recall

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	near "github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// comfy walks a graph of ComfyUI from the picture back to its sources.
type comfy struct {
	*Found
	*graph
	job, model map[string]any
	why        map[*node]string // why a node is not used
	loras      []any
	controls   []any
}

// fromComfyUI reads a graph: "prompt" is what was computed, "workflow" is what was drawn.
func fromComfyUI(computed, page string) (*Found, error) {
	read, text := prompted, computed
	if computed == "" {
		read, text = drawn, page
	}
	g, err := read(text)
	if err != nil {
		return nil, fmt.Errorf("ComfyUI's graph is damaged: %w", err)
	}
	c := comfy{Found: &Found{Program: ComfyUI}, graph: g, model: map[string]any{}, why: map[*node]string{},
		job: map[string]any{"prompt_syntax": request.SyntaxComfyUI, "rng": "cpu"}}
	if computed != "" && page != "" {
		c.notUsed("workflow", "", "it is how the graph looks; prompt is what was computed")
	}
	last := c.last()
	if last == nil {
		return nil, fmt.Errorf("%w that are plain: ComfyUI's graph has no KSampler behind a SaveImage or PreviewImage", ErrNothing)
	}
	c.walk(last)
	c.leftover()
	run, err := decodeRun(c.model, c.job)
	if err != nil {
		return nil, fmt.Errorf("ComfyUI's graph: %w", err)
	}
	c.Run = run
	c.Notes = append(c.Notes, run.Notes...)
	return c.Found, nil
}

// last finds the sampler that made the picture: behind the first node that saves one.
func (c *comfy) last() *node {
	for _, n := range c.sorted() {
		if n.class != "SaveImage" && n.class != "PreviewImage" || n.off != "" {
			continue
		}
		if s := c.samplerOf(c.link(n, "images")); s != nil {
			return s
		}
	}
	return nil
}

// isSampler reports whether a node makes steps in a way that is plain.
func isSampler(n *node) bool { return n.class == "KSampler" || n.class == "KSamplerAdvanced" }

// samplerOf goes from a picture to the sampler whose latents it was decoded from. What is done to the picture in between is told.
func (c *comfy) samplerOf(n *node) *node {
	for range len(c.nodes) {
		if n == nil {
			return nil
		}
		switch {
		case isSampler(n):
			return n
		case n.class == "VAEDecode" || n.class == "VAEDecodeTiled":
			c.vae(c.link(n, "vae"))
			n = c.link(n, "samples")
			continue
		}
		c.why[n] = "what is done to the finished picture is not repeated"
		if n.class == "ImageUpscaleWithModel" {
			c.why[n] += "; \"daguerre upscale\" does it"
			c.link(n, "upscale_model")
		}
		for _, input := range []string{"image", "images", "samples"} {
			if n.inputs[input] != nil {
				n = c.link(n, input)
				break
			}
		}
		if c.why[n] != "" {
			return nil
		}
	}
	return nil
}

// walk takes what the last sampler says, and all that comes before it.
func (c *comfy) walk(s *node) {
	first, second := s, (*node)(nil)
	before := c.before(s)
	if before != nil {
		first, second = before, s
	}
	c.sampler(first)
	c.checkpoint(c.link(first, "model"), "model")
	c.conditioning(c.link(first, "positive"), "prompt")
	c.conditioning(c.link(first, "negative"), "negative_prompt")
	if len(c.loras) > 0 {
		c.job["lora"] = c.loras
	}
	if len(c.controls) > 0 {
		c.job["controlnet"] = c.controls
	}
	c.latents(first)
	if second != nil {
		c.secondPass(first, second)
	}
}

// before is the sampler whose result a sampler continues or repaints; nil: there is none.
func (c *comfy) before(s *node) *node {
	n := c.linkOf(s.inputs["latent_image"])
	for range len(c.nodes) {
		switch {
		case n == nil:
			return nil
		case isSampler(n):
			return n
		}
		next := ""
		for _, input := range []string{"samples", "pixels", "image"} {
			if n.inputs[input] != nil {
				next = input
			}
		}
		n = c.linkOf(n.inputs[next])
	}
	return nil
}

// set takes a number or a text of a node under a key of the job.
func (c *comfy) set(n *node, input, key string) {
	v := c.value(n, input)
	if v == nil {
		if n.inputs[input] != nil {
			c.notUsed(n.name()+" "+input, "", "it comes from a node that is not plain")
		}
		return
	}
	c.job[key] = v
}

// sampler takes seed, steps, guidance, sampler and schedule.
func (c *comfy) sampler(s *node) {
	seed := "seed"
	if s.class == "KSamplerAdvanced" {
		seed = "noise_seed"
		if add, _ := c.text(s, "add_noise"); add != "enable" {
			c.notUsed(s.name()+" add_noise", add, "the first sampler always begins with noise: the picture will differ")
		}
	}
	c.set(s, seed, "seed")
	c.set(s, "steps", "num_inference_steps")
	c.set(s, "cfg", "guidance_scale")
	name, _ := c.text(s, "sampler_name")
	plain, _ := scheduler.CutCFGPlusPlus(name)
	if _, _, err := scheduler.Resolve(plain); err != nil {
		c.notUsed(s.name()+" sampler_name", name, noSampler(err))
	} else {
		c.job["scheduler"] = name
	}
	word, _ := c.text(s, "scheduler")
	if _, err := scheduler.ResolveSpacing(word); err != nil {
		c.notUsed(s.name()+" scheduler", word, strings.TrimPrefix(err.Error(), "scheduler: "))
	} else if word != "normal" {
		c.job["sigmas"] = word
	}
}

// latents takes what the first sampler begins with: nothing, or a picture.
func (c *comfy) latents(s *node) {
	n := c.link(s, "latent_image")
	denoise, given := c.number(s, "denoise")
	if n == nil {
		return
	}
	switch n.class {
	case "EmptyLatentImage":
		c.set(n, "width", "width")
		c.set(n, "height", "height")
		if count, ok := c.number(n, "batch_size"); ok && count > 1 {
			c.job["num_images"] = json.Number(fmt.Sprint(count))
			c.note("node %s: all %v pictures of the batch are made; ComfyUI draws their noise from one seed, here each has its own", n.id, count)
		}
		if given && denoise != 1 {
			c.notUsed(s.name()+" denoise", fmt.Sprint(denoise), "there is no picture to start from")
		}
		return
	case "SetLatentNoiseMask":
		c.mask(c.link(n, "mask"))
		n = c.link(n, "samples")
	}
	if n == nil || n.class != "VAEEncode" && n.class != "VAEEncodeForInpaint" {
		if n != nil {
			c.why[n] = "what the sampler begins with is not plain: give a picture with --image"
		}
		c.needs = append(c.needs, "init_image")
		return
	}
	c.vae(c.link(n, "vae"))
	if n.class == "VAEEncodeForInpaint" {
		c.mask(c.link(n, "mask"))
		c.job["inpaint"] = map[string]any{"fill": request.FillLatentNothing}
		c.note("node %s: VAEEncodeForInpaint is inpaint.fill %s, which comes nearest", n.id, request.FillLatentNothing)
	}
	if c.job["init_image"] = c.picture(c.link(n, "pixels")); c.job["init_image"] == nil {
		delete(c.job, "init_image")
		c.needs = append(c.needs, "init_image")
	}
	if given {
		c.strength(s, denoise, "strength", "num_inference_steps")
	}
}

// strength takes how much may change. ComfyUI counts the steps that are made; here they are those of the whole schedule.
func (c *comfy) strength(s *node, denoise float64, key, steps string) {
	count, ok := c.number(s, "steps")
	if !ok || denoise <= 0 || denoise > 1 {
		c.notUsed(s.name()+" denoise", fmt.Sprint(denoise), "it must be above 0 to 1")
		return
	}
	n := math.Ceil(count / denoise)
	for math.Floor(n*denoise) < count { // rounding
		n++
	}
	for k, v := range map[string]float64{key: denoise, steps: n} {
		outer, inner, within := strings.Cut(k, ".")
		value := json.Number(fmt.Sprint(v))
		if !within {
			c.job[k] = value
			continue
		}
		table, _ := c.job[outer].(map[string]any)
		table[inner] = value
	}
}

// picture is the file that a picture is loaded from; nil: it is none.
func (c *comfy) picture(n *node) any {
	for range len(c.nodes) {
		if n == nil {
			return nil
		}
		if n.class == "LoadImage" || n.class == "LoadImageMask" {
			if name, ok := c.text(n, "image"); ok {
				name, _, _ = strings.Cut(name, " [") // "photo.png [input]"
				return name
			}
			return nil
		}
		c.why[n] = "what is done to a picture before it is used is not repeated: prepare it, or give another one"
		n = c.link(n, "image")
	}
	return nil
}

// mask takes the mask.
func (c *comfy) mask(n *node) {
	name := c.picture(n)
	if name == nil {
		c.needs = append(c.needs, "mask_image")
		return
	}
	c.job["mask_image"] = name
	if n.class == "LoadImage" { // ComfyUI's mask of a picture is what is transparent in it
		c.job["mask_channel"] = "alpha"
	} else if channel, _ := c.text(n, "channel"); channel == "alpha" {
		c.job["mask_channel"] = "alpha"
	} else {
		c.job["mask_channel"] = "luma"
		c.notUsed(n.name()+" channel", channel, "how light the mask is counts")
	}
}

// leftover tells of all nodes and inputs that were not read.
func (c *comfy) leftover() {
	for _, n := range c.sorted() {
		switch why := c.why[n]; {
		case why != "":
			c.notUsed(n.name(), c.values(n, true), why)
		case n.off != "" && !n.visited:
			c.notUsed(n.name(), "", n.off)
		case !n.visited:
			c.notUsed(n.name(), c.values(n, true), "the picture does not depend on it, or it is not known here")
		default:
			if rest := c.values(n, false); rest != "" && n.class != "Reroute" {
				c.notUsed(n.name(), rest, "")
			}
		}
	}
}

// values are the inputs of a node that are no links: all, or those that were not read.
func (c *comfy) values(n *node, all bool) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(n.inputs)) {
		if n.used[name] && !all {
			continue
		}
		if list, ok := n.inputs[name].([]any); ok && len(list) == 2 {
			continue
		}
		out = append(out, name+"="+near.Clip(near.OneLine(fmt.Sprint(n.inputs[name]))))
	}
	return strings.Join(out, ", ")
}
