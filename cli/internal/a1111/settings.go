package a1111

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/internal/words"
)

// setting is one of A1111's settings.
type setting struct {
	name  string
	does  string // for docs/serving-clients.md
	value any    // where nobody has set it
	// use lets it act on a request; nil: it acts elsewhere. An error says what is wrong with the value.
	use func(f *server, a *asked, v any) string
	// idle are the values that ask for nothing; nil with use nil: it is kept, and nothing else.
	idle []any
}

// The names of settings that are used elsewhere.
const (
	setModel    = "sd_model_checkpoint"
	setVAE      = "sd_vae"
	setFormat   = "samples_format"
	setQuality  = "jpeg_quality"
	setEvery    = "show_progress_every_n_steps"
	setPreviews = "live_previews_enable"
)

// settings are those that are known.
var settings = []setting{
	{name: setModel, does: "the model of requests that name none", value: "", use: (*server).useModel},
	{name: setVAE, does: "a VAE of `sd-vae`; `Automatic` and `None`: the model's own", value: "Automatic", use: useVAE},
	{name: setFormat, does: "`png`, `jpg` or `webp`, of the pictures in answers", value: "png", use: useFormat},
	{name: setQuality, does: "of JPEG files", value: 90, use: func(_ *server, a *asked, v any) string {
		a.run["quality"] = v
		return ""
	}},
	{name: "enable_pnginfo", does: "writes the settings into PNG files", value: true, use: func(_ *server, a *asked, v any) string {
		a.run["metadata"] = v
		return ""
	}},
	{name: "randn_source", does: "`CPU`: the random numbers of torch on a CPU; `GPU` and `NV`: those of torch on CUDA", value: "CPU",
		use: useRNG},
	{name: setPreviews, does: "whether `progress` shows pictures", value: true},
	{name: setEvery, does: "how often it does; -1: never", value: 10},
	{name: "CLIP_stop_at_last_layers", does: "told: AUTOMATIC1111 does not apply it to SDXL either; `clip_skip` does", value: 1,
		idle: []any{1, 2}},
	{name: "eta_noise_seed_delta", does: "only 0", value: 0, idle: []any{0}},
	{name: "token_merging_ratio", does: "only 0", value: 0, idle: []any{0}},
	{name: "s_min_uncond", does: "only 0", value: 0, idle: []any{0}},
	{name: "sd_hypernetwork", does: "only `None`", value: "None", idle: []any{"None", ""}},
	{name: "img2img_color_correction", does: "only `false`", value: false, idle: []any{false}},
}

func settingOf(name string) (setting, bool) {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.name == name })
	if i < 0 {
		return setting{}, false
	}
	return settings[i], true
}

// current are the settings as they count for an owner.
func (f *server) current(owner string) map[string]any {
	all := map[string]any{}
	for _, s := range settings {
		all[s.name] = s.value
	}
	f.mu.Lock()
	maps.Copy(all, f.set[owner])
	f.mu.Unlock()
	if models := f.s.Models(); all[setModel] == "" && len(models) > 0 {
		all[setModel] = models[0].Name
	}
	return all
}

func (f *server) getOptions(r *http.Request, _ *told) (any, error) {
	all := f.current(face.Caller(r.Context()).Owner)
	all["sd_checkpoint_hash"] = nil
	return all, nil
}

// setOptions keeps settings for the owner, until the server ends. Settings that are not known are told of.
func (f *server) setOptions(r *http.Request, t *told) (any, error) {
	body, err := read(r)
	if err != nil {
		return nil, err
	}
	probe := &asked{told: &told{}, run: map[string]any{}}
	kept, ignored := map[string]any{}, []string{}
	for _, name := range slices.Sorted(maps.Keys(body)) {
		s, known := settingOf(name)
		if !known {
			ignored = append(ignored, name)
			t.warn("%s", unknownSetting(name))
			continue
		}
		if problem := f.check(probe, s, body[name]); problem != "" {
			return nil, invalid(name, "%s", problem)
		}
		kept[name] = body[name]
	}
	owner := face.Caller(r.Context()).Owner
	f.mu.Lock()
	if f.set[owner] == nil {
		f.set[owner] = map[string]any{}
	}
	maps.Copy(f.set[owner], kept)
	f.mu.Unlock()
	if len(ignored) == 0 {
		return nil, nil
	}
	return map[string]any{"ignored": ignored, "warnings": t.warnings}, nil
}

func unknownSetting(name string) string {
	var names []string
	for _, s := range settings {
		names = append(names, s.name)
	}
	return "the setting " + words.Clip(name) + " is not known here and was left out" + words.DidYouMean(name, names)
}

// check tries a value of a setting; "": it is right.
func (f *server) check(a *asked, s setting, v any) string {
	switch {
	case v == nil:
		return ""
	case s.use != nil:
		if a.run["model"] == nil {
			a.run["model"] = map[string]any{}
		}
		return s.use(f, a, v)
	case s.idle != nil && !slices.ContainsFunc(s.idle, func(idle any) bool { return same(idle, v) }):
		return "is " + sprint(v) + "; this is not offered: leave it out, or write " + sprint(s.idle[0])
	case s.name == setEvery:
		if _, ok := number(v); !ok {
			return "is " + sprint(v) + "; expected a number"
		}
	case s.name == setPreviews:
		if _, ok := v.(bool); !ok {
			return "is " + sprint(v) + "; expected a boolean"
		}
	}
	return ""
}

func same(idle, v any) bool {
	x, ok := number(idle)
	y, ok2 := number(v)
	return ok && ok2 && x == y || idle == v
}

// useSettings lets the owner's settings, and those of the request, act on it.
func (f *server) useSettings(owner string, a *asked) {
	a.settings = f.current(owner)
	override, isTable := a.run["override_settings"].(map[string]any)
	if v, given := a.run["override_settings"]; given && !isTable {
		a.errs.Add("override_settings", "is %s; expected a table", sprint(v))
	}
	delete(a.run, "override_settings")
	maps.DeleteFunc(override, func(_ string, v any) bool { return v == nil })
	maps.Copy(a.settings, override)
	a.run["model"] = map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(a.settings)) {
		s, known := settingOf(name)
		v := a.settings[name]
		if !known {
			a.ignored = append(a.ignored, "override_settings."+name)
			a.warn("%s", unknownSetting(name))
			continue
		}
		if _, isOwn := override[name]; !isOwn && same(s.value, v) && name != setModel {
			continue // nobody has set it
		}
		if problem := f.check(a, s, v); problem != "" {
			a.errs.Add("override_settings."+name, "%s", problem)
		}
	}
}

// useModel takes a model by its name, or by A1111's titles: "name [hash]", "name.safetensors".
func (f *server) useModel(a *asked, v any) string {
	said, ok := v.(string)
	if !ok {
		return "is " + sprint(v) + "; expected a name"
	}
	name := strings.TrimSpace(strings.SplitN(said, " [", 2)[0])
	var names []string
	for _, m := range f.s.Models() {
		for _, try := range []string{said, name, withoutEnd(name)} {
			if m.Name == try || said == "" {
				a.run["model"].(map[string]any)["model"] = m.Name
				return ""
			}
		}
		names = append(names, m.Name)
	}
	return "there is no model " + words.Clip(said) + " here" + words.DidYouMean(name, names) + "; GET " + root + "sd-models lists them"
}

func withoutEnd(name string) string {
	for _, end := range []string{".safetensors", ".ckpt", ".gguf"} {
		name = strings.TrimSuffix(name, end)
	}
	return name
}

func useVAE(_ *server, a *asked, v any) string {
	name, ok := v.(string)
	if !ok {
		return "is " + sprint(v) + "; expected a name"
	}
	if name != "Automatic" && name != "None" && name != "" {
		a.run["model"].(map[string]any)["vae"] = name
	}
	return ""
}

func useFormat(_ *server, _ *asked, v any) string {
	if formatOf(v) == "" {
		return "is " + sprint(v) + "; it must be png, jpg or webp"
	}
	return ""
}

// formatOf is a picture format as runs name it; "": it is none.
func formatOf(v any) string {
	name, _ := v.(string)
	return map[string]string{"png": "png", "jpg": "jpeg", "jpeg": "jpeg", "webp": "webp"}[strings.ToLower(name)]
}

func useRNG(_ *server, a *asked, v any) string {
	name, _ := v.(string)
	rng := map[string]string{"CPU": "cpu", "GPU": "gpu", "NV": "gpu"}[name]
	if rng == "" {
		return "is " + sprint(v) + "; it must be CPU, GPU or NV"
	}
	if _, given := a.run["rng"]; !given {
		a.run["rng"] = rng
	}
	return ""
}
