package recall

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// infotext turns the settings of an infotext into a request in the form of AUTOMATIC1111's web API, which package request understands.
type infotext struct {
	*Found
	job    map[string]any
	model  map[string]any
	values map[string]string // by name
	sums   map[string]string // of files: model, vae, lora:NAME, embed:NAME
	hubs   map[string]string // names that files are fetched by, by their key of [model]
	listed []resource
	ours   bool // this program wrote it
}

// fromInfotext reads AUTOMATIC1111's text.
func fromInfotext(text string) (*Found, error) {
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		return nil, fmt.Errorf("%w that are read: its parameters are JSON, as SwarmUI and Fooocus write them, and not AUTOMATIC1111's text",
			ErrNothing)
	}
	words, negative, pairs := splitInfotext(text)
	if len(pairs) == 0 {
		return nil, fmt.Errorf("%w: its parameters have no line such as \"Steps: 20, Sampler: Euler, ...\"", ErrNothing)
	}
	t := infotext{Found: &Found{Program: A1111}, job: map[string]any{"prompt": words}, model: map[string]any{}, values: map[string]string{},
		sums: map[string]string{}, hubs: map[string]string{}}
	if negative != "" {
		t.job["negative_prompt"] = negative
	}
	for _, p := range pairs {
		if p.name == "" {
			t.notUsed(clip(p.value), "", "it is no setting with a name")
			continue
		}
		if _, twice := t.values[p.name]; twice {
			t.notUsed(p.name, clip(p.value), "it is given twice")
			continue
		}
		t.values[p.name] = p.value
	}
	t.ours = strings.HasPrefix(t.values["Version"], Own)
	t.job["rng"] = "gpu" // what it has if it says nothing
	var used []string
	for _, p := range pairs {
		if v, ok := t.values[p.name]; ok && v == p.value && !slices.Contains(used, p.name) {
			used = append(used, p.name)
			t.use(p)
		}
	}
	t.together()
	run, err := decodeRun(t.model, t.job)
	if err != nil {
		return nil, fmt.Errorf("the picture's parameters: %w", err)
	}
	t.Run = run
	t.Notes = append(t.Notes, run.Notes...)
	t.tags()
	return t.Found, nil
}

// named is a number or a text of an infotext with its name in a request.
type named struct {
	key    string
	number bool
}

// plain are the settings that need no more than another name.
var plain = map[string]named{
	"Steps": {"steps", true}, "CFG scale": {"cfg_scale", true}, "Seed": {"seed", true}, "Eta": {"eta", true}, "Eta DDIM": {"eta", true},
	"Sigma churn": {"s_churn", true}, "Sigma tmin": {"s_tmin", true}, "Sigma tmax": {"s_tmax", true}, "Sigma noise": {"s_noise", true},
	"Hires upscale": {"hr_scale", true}, "Hires steps": {"hr_second_pass_steps", true},
	"Refiner switch at": {"refiner_switch_at", true}, "CFG Rescale phi": {"guidance_rescale", true},
	"Mask blur": {"inpaint.blur", true}, "Masked area padding": {"inpaint.padding", true}, "Masked content": {"inpaint.fill", false},
	"Guidance": {"guidance.method", false}, "Guidance momentum": {"guidance.momentum", true},
	"Guidance norm threshold": {"guidance.norm_threshold", true}, "Guidance eta": {"guidance.eta", true},
	"Guidance zero init steps": {"guidance.zero_init_steps", true},
}

// idle are values of settings that ask for nothing.
var idle = map[string][]string{"Noise multiplier": {"1", "1.0"}, "Emphasis": {"Original"}, "Variation seed strength": {"0", "0.0"},
	"ENSD": {"0"}, "Masked content": {"original"}, "Inpaint area": {"Whole picture"}, "Mask mode": {"Inpaint masked"},
	"Hires sampler":       {"Use same sampler"},
	"Hires schedule type": {"Use same scheduler"}, "Hires checkpoint": {"Use same checkpoint"}, "Conditional mask weight": {"1", "1.0"},
	"Token merging ratio": {"0"}, "Tiling": {"False"}, "Eta": {"1", "1.0"}, "Sigma churn": {"0"}, "Sigma tmin": {"0"}}

// reasons say why a setting is not used.
var reasons = map[string]string{
	"Version": "it says who wrote the text", "User": "it says nothing of the picture", "Batch size": "the seed is the picture's own",
	"Batch pos": "the seed is the picture's own", "Template": "the prompt is what was made of it",
	"Negative Template": "the prompt is what was made of it", "Wildcard prompt": "the prompt is what was made of it",
	"Init image hash": "it is no hash of a file", "First pass size": "it follows from the others", "ENSD": "noise is always from the seed",
	"Face restoration": "it is not offered", "Variation seed": "variations are not offered",
	"Variation seed strength": "variations are not offered: the picture will differ",
	"Seed resize from":        "it is not offered: the picture will differ", "Emphasis": "weights are always applied in the original way",
	"Hires prompt": "the second pass has the prompt of the first", "Hires negative prompt": "the second pass has the prompt of the first",
	"Hires sampler": "the second pass has the scheduler of the first", "Hires schedule type": "the second pass has the scheduler of the first",
	"Hires CFG Scale": "the second pass has the guidance of the first", "Hires checkpoint": "the second pass has the model of the first",
	"NGMS": "both halves of guidance are always computed", "Token merging ratio": "tokens are not merged",
	"Downcast alphas_cumprod": "noise levels are computed in full precision", "FP8 weight": "type in [model] says how weights are held",
}

// use takes one setting.
func (t *infotext) use(p pair) {
	if p.value == "" || slices.Contains(idle[p.name], p.value) {
		t.notUsed(p.name, p.value, "it asks for nothing")
		return
	}
	if n, ok := plain[p.name]; ok {
		t.put(n.key, p, n.number)
		return
	}
	if take := takers[p.name]; take != nil {
		take(t, p)
		return
	}
	if why := reasons[p.name]; why != "" {
		t.notUsed(p.name, clip(p.value), why)
		return
	}
	switch {
	case strings.HasPrefix(p.name, "ControlNet "):
		t.notUsed(p.name, clip(p.value), "its picture is not in the file; give both with --control")
	default:
		t.notUsed(p.name, clip(p.value), "it is not known here")
	}
}

// put sets a key, or one within a table.
func (t *infotext) put(key string, p pair, number bool) {
	var value any = p.value
	if number {
		n := json.Number(p.value)
		if _, err := n.Float64(); err != nil {
			t.notUsed(p.name, clip(p.value), "it is no number")
			return
		}
		value = n
	}
	outer, inner, within := strings.Cut(key, ".")
	if !within {
		t.job[key] = value
		return
	}
	table, _ := t.job[outer].(map[string]any)
	if table == nil {
		table = map[string]any{}
		t.job[outer] = table
	}
	table[inner] = value
}

// takers take settings that are more than another name.
var takers = map[string]func(*infotext, pair){
	"Sampler":       (*infotext).sampler,
	"Schedule type": (*infotext).schedule,
	"Size": func(t *infotext, p pair) {
		t.wh(p, "width", "height")
	},
	"Hires resize": func(t *infotext, p pair) {
		t.wh(p, "hr_resize_x", "hr_resize_y")
	},
	"Model":                  func(t *infotext, p pair) { t.model["model"] = p.value },
	"Model hash":             func(t *infotext, p pair) { t.sums["model"] = p.value },
	"VAE":                    (*infotext).vae,
	"VAE hash":               func(t *infotext, p pair) { t.sums["vae"] = p.value },
	"Civitai resources":      (*infotext).civitai,
	"Lora hashes":            func(t *infotext, p pair) { t.hashes("lora:", p) },
	"TI hashes":              func(t *infotext, p pair) { t.hashes("embed:", p) },
	"Hashes":                 (*infotext).allHashes,
	"Denoising strength":     func(*infotext, pair) {}, // see together
	"Hires upscaler":         func(*infotext, pair) {}, // see together
	"Refiner":                (*infotext).refiner,
	"RNG":                    (*infotext).rng,
	"Tiling":                 (*infotext).tiling,
	"Clip skip":              (*infotext).clipSkip,
	"Inpaint area":           func(t *infotext, p pair) { t.is(p, "Only masked", "only_masked") },
	"Mask mode":              func(t *infotext, p pair) { t.is(p, "Inpaint not masked", "invert") },
	"Differential diffusion": func(t *infotext, p pair) { t.is(p, "True", "soft") },
}

// is turns a switch of inpainting on.
func (t *infotext) is(p pair, on, key string) {
	if p.value != on {
		t.notUsed(p.name, clip(p.value), "only "+on+" is known here")
		return
	}
	t.inpaint()[key] = true
}

func (t *infotext) inpaint() map[string]any {
	table, _ := t.job["inpaint"].(map[string]any)
	if table == nil {
		table = map[string]any{}
		t.job["inpaint"] = table
	}
	return table
}

// sampler takes the sampler, if there is one like it here.
func (t *infotext) sampler(p pair) {
	plainName, _ := scheduler.CutCFGPlusPlus(p.value)
	if _, _, err := scheduler.Resolve(plainName); err != nil {
		t.notUsed(p.name, clip(p.value), noSampler(err))
		return
	}
	t.job["sampler_name"] = p.value
}

// noSampler says why a sampler is not used, and what helps.
func noSampler(err error) string {
	return strings.TrimPrefix(err.Error(), "scheduler: ") + "; the picture will differ: give another with --scheduler"
}

// automatic are the schedules that Automatic means, for samplers that have one of their own.
var automatic = map[string]string{"dpm++ 2m": "karras", "dpm++ sde": "karras", "dpm++ 2m sde": "exponential",
	"dpm++ 2m sde heun": "exponential", "dpm++ 3m sde": "exponential", "dpm2": "karras", "dpm2 a": "karras"}

// AutomaticSchedule is the schedule that AUTOMATIC1111's schedule type Automatic means for one of its samplers; "": the sampler's own.
func AutomaticSchedule(sampler string) string { return automatic[strings.ToLower(sampler)] }

// schedule takes the schedule type.
func (t *infotext) schedule(p pair) {
	value := p.value
	if strings.EqualFold(value, "automatic") {
		if value = AutomaticSchedule(t.values["Sampler"]); value == "" {
			t.notUsed(p.name, p.value, "the sampler has no schedule of its own")
			return
		}
	}
	if _, err := scheduler.ResolveSpacing(value); err != nil {
		t.notUsed(p.name, clip(p.value), strings.TrimPrefix(err.Error(), "scheduler: "))
		return
	}
	t.job["sigmas"] = value
}

func (t *infotext) wh(p pair, width, height string) {
	wh := size.FindStringSubmatch(p.value)
	if wh == nil {
		t.notUsed(p.name, clip(p.value), "it is no size")
		return
	}
	t.job[width], t.job[height] = json.Number(wh[1]), json.Number(wh[2])
}

// vae takes the VAE, if it is none of the model's.
func (t *infotext) vae(p pair) {
	if p.value == "Automatic" || p.value == "None" {
		return
	}
	t.model["vae"] = p.value
}

// hashes takes a list of names and hashes.
func (t *infotext) hashes(prefix string, p pair) {
	for item := range strings.SplitSeq(p.value, ",") {
		name, sum, ok := strings.Cut(item, ":")
		if !ok {
			t.notUsed(p.name, clip(item), "it is no name with a hash")
			continue
		}
		t.sums[prefix+strings.TrimSpace(name)] = strings.TrimSpace(sum)
	}
}

// allHashes takes the hashes of all files, in JSON.
func (t *infotext) allHashes(p pair) {
	var all map[string]string
	if err := json.Unmarshal([]byte(p.value), &all); err != nil {
		t.notUsed(p.name, clip(p.value), "it is no JSON")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if have := t.sums[name]; have == "" {
			t.sums[name] = all[name]
		} else if have != all[name] {
			t.notUsed("Hashes: "+name, all[name], "another hash of it is given")
		}
	}
}

// withHash is a name with a short hash behind it.
var withHash = regexp.MustCompile(`^(.*?)\s*\[([0-9a-fA-F]{6,64})\]$`)

func (t *infotext) refiner(p pair) {
	name := p.value
	if m := withHash.FindStringSubmatch(name); m != nil {
		name, t.sums["refiner"] = m[1], m[2]
	}
	t.model["refiner"] = name
}

// rng takes where the random numbers come from. Those that NV stands for are the GPU's.
func (t *infotext) rng(p pair) {
	switch strings.ToUpper(p.value) {
	case "CPU":
		t.job["rng"] = "cpu"
	case "GPU", "NV":
	default:
		t.notUsed(p.name, clip(p.value), "it is CPU, GPU or NV")
	}
}

func (t *infotext) tiling(p pair) {
	if p.value == "True" {
		t.job["seamless"] = request.SeamlessBoth
		return
	}
	t.job["seamless"] = p.value
}

// clipSkip takes the number of layers of this program's texts. AUTOMATIC1111 does not apply it to SDXL.
func (t *infotext) clipSkip(p pair) {
	if !t.ours {
		t.notUsed(p.name, clip(p.value), "AUTOMATIC1111 does not apply it to SDXL; clip_skip does")
		return
	}
	var n int
	if _, err := fmt.Sscan(p.value, &n); err == nil && n > 2 { // there SDXL's penultimate layer is 2
		t.job["clip_skip"] = json.Number(fmt.Sprint(n - 2))
	}
}
