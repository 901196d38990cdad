package recall

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/prompt"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// together takes what depends on several settings.
func (t *infotext) together() {
	strength := t.values["Denoising strength"]
	_, scaled := t.job["hr_scale"]
	_, resized := t.job["hr_resize_x"]
	inpaint, _ := t.job["inpaint"].(map[string]any)
	masked := len(inpaint) > 0
	switch {
	case scaled || resized:
		t.job["enable_hr"] = true
		if strength != "" {
			t.put("denoising_strength", pair{"Denoising strength", strength}, true)
		}
		t.upscaler()
	case strength != "" || masked:
		if strength != "" {
			t.put("strength", pair{"Denoising strength", strength}, true)
		}
		t.needs = append(t.needs, "init_image")
	}
	if masked {
		t.needs = append(t.needs, "mask_image")
		if fill, ok := inpaint["fill"].(string); ok {
			inpaint["fill"] = strings.ReplaceAll(strings.ToLower(fill), " ", "_")
		}
	}
	t.eta()
	for _, key := range []string{"model", "vae", "refiner", "upscaler"} {
		if name, ok := t.model[key].(string); ok {
			t.parts = append(t.parts, part{key: "model." + key, name: name, sums: sumsOf(t.sums[key]), hub: t.hubs[key]})
		}
		delete(t.sums, key)
	}
	if v, ok := t.job["refiner_switch_at"]; ok {
		delete(t.job, "refiner_switch_at")
		if t.model["refiner"] != nil {
			t.job["refiner_start"] = v
		} else {
			t.notUsed("Refiner switch at", fmt.Sprint(v), "there is no Refiner")
		}
	}
}

// upscaler takes what enlarges the first pass: a way that needs no model, or the name of a model.
func (t *infotext) upscaler() {
	name := t.values["Hires upscaler"]
	lower := strings.ToLower(name)
	switch {
	case name == "":
	case strings.HasPrefix(lower, "latent"), lower == "lanczos", lower == "nearest", lower == "none":
		t.job["hr_upscaler"] = name
	default:
		t.job["hr_upscaler"], t.model["upscaler"] = name, name
	}
}

// eta leaves eta to schedulers that have it.
func (t *infotext) eta() {
	value, given := t.job["eta"]
	name, _ := t.job["sampler_name"].(string)
	if !given {
		return
	}
	info, err := scheduler.Describe(name)
	if err == nil && !slices.Contains(info.Options, "eta") {
		delete(t.job, "eta")
		t.notUsed("Eta", fmt.Sprint(value), info.Name+" has none")
	}
}

// hypernetwork is the tag of a hypernetwork.
var hypernetwork = regexp.MustCompile(`<hypernet:[^<>]*>`)

// tags turns the adapters that prompts name into a list, which can say where their files are; and it takes the hashes that are left.
func (t *infotext) tags() {
	r := &t.Run.Jobs[0]
	for _, text := range []*string{&r.Prompt, &r.NegativePrompt} {
		rest, tags, err := prompt.ExtractLoRA(*text)
		if err != nil || len(tags) == 0 {
			continue // a bad tag is told when the prompt is checked
		}
		*text = rest
		for _, tag := range tags {
			t.adapter(tag.Name, tag.Weight, tag.TextWeight, t.sums["lora:"+tag.Name], "")
			delete(t.sums, "lora:"+tag.Name)
		}
	}
	for _, text := range []string{r.Prompt, r.NegativePrompt} {
		for _, tag := range hypernetwork.FindAllString(text, -1) {
			t.notUsed(tag, "", "hypernetworks are not offered: the picture will differ, and the tag is read as text")
		}
	}
	for _, x := range t.listed {
		t.adapter(x.name, x.weight, x.weight, "", x.hub)
	}
	if r.Prompt == "" {
		r.Prompt = request.NoPrompt
	}
	for _, key := range slices.Sorted(maps.Keys(t.sums)) {
		kind, name, ok := strings.Cut(key, ":")
		switch {
		case kind == "embed" && ok:
			t.parts = append(t.parts, part{key: "embedding", name: name, sums: sumsOf(t.sums[key])})
		default:
			t.notUsed("hash of "+key, t.sums[key], "nothing else in the text names it")
		}
	}
}

// civitai takes the models and adapters that Civitai's own generator lists. They are named by Civitai's versions.
func (t *infotext) civitai(p pair) {
	var list []struct {
		Type    string   `json:"type"`
		Version int64    `json:"modelVersionId"`
		Name    string   `json:"modelName"`
		Weight  *float64 `json:"weight"`
	}
	if err := json.Unmarshal([]byte(p.value), &list); err != nil {
		t.notUsed(p.name, clip(p.value), "it is no list of models")
		return
	}
	for _, x := range list {
		hub := fmt.Sprintf("civitai:%d", x.Version)
		name := cmp.Or(x.Name, hub)
		switch {
		case x.Type == "checkpoint" && t.model["model"] == nil:
			t.model["model"] = name
			t.hubs["model"] = hub
		case x.Type == "lora" || x.Type == "lycoris" || x.Type == "dora":
			weight := 1.0
			if x.Weight != nil {
				weight = *x.Weight
			}
			t.listed = append(t.listed, resource{name, hub, weight})
		default:
			t.notUsed(p.name, fmt.Sprintf("%s %s (%s)", x.Type, name, hub), "only checkpoints and adapters are taken")
		}
	}
}

// resource is an adapter that Civitai lists.
type resource struct {
	name, hub string
	weight    float64
}
