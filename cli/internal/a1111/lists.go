package a1111

import (
	"net/http"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/internal/recall"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

type (
	wireModel struct {
		Title    string  `json:"title"`
		Name     string  `json:"model_name"`
		Hash     *string `json:"hash"`
		SHA256   *string `json:"sha256"`
		Filename string  `json:"filename"`
		Config   *string `json:"config"`
	}
	wireSampler struct {
		Name    string            `json:"name"`
		Aliases []string          `json:"aliases"`
		Options map[string]string `json:"options"`
	}
	wireSchedule struct {
		Name    string   `json:"name"`
		Label   string   `json:"label"`
		Aliases []string `json:"aliases"`
		Rho     *float64 `json:"default_rho"`
		Inner   bool     `json:"need_inner_model"`
	}
	wireUpscaler struct {
		Name  string   `json:"name"`
		Model *string  `json:"model_name"`
		Path  *string  `json:"model_path"`
		URL   *string  `json:"model_url"`
		Scale *float64 `json:"scale"`
	}
	wireNamed struct {
		Name  string         `json:"name"`
		Alias string         `json:"alias,omitempty"`
		Path  string         `json:"path"`
		Meta  map[string]any `json:"metadata,omitempty"`
	}
	wireStyle struct {
		Name     string `json:"name"`
		Prompt   string `json:"prompt"`
		Negative string `json:"negative_prompt"`
	}
	wireEmbedding struct {
		Step       *int    `json:"step"`
		Checkpoint *string `json:"sd_checkpoint"`
		Name       *string `json:"sd_checkpoint_name"`
		Shape      *int    `json:"shape"`
		Vectors    *int    `json:"vectors"`
	}
)

// lists are the paths that tell what there is. Files have names only: where they are is not told.
func (f *server) lists() map[string]handler {
	fixed := func(v any) handler {
		return func(*http.Request, *told) (any, error) { return v, nil }
	}
	names := func(kind catalog.Kind, each func(name string) any) handler {
		return func(*http.Request, *told) (any, error) {
			files, err := f.s.Files(kind)
			list := []any{}
			for _, name := range files {
				list = append(list, each(name))
			}
			return list, err
		}
	}
	return map[string]handler{
		root + "sd-models":  f.models,
		root + "samplers":   fixed(wireSamplers()),
		root + "schedulers": fixed(wireSchedules()),
		root + "upscalers":  f.upscalers,
		root + "latent-upscale-modes": fixed([]map[string]string{{"name": "Latent"}, {"name": "Latent (antialiased)"},
			{"name": "Latent (bicubic)"}, {"name": "Latent (bicubic antialiased)"}, {"name": "Latent (nearest)"},
			{"name": "Latent (nearest-exact)"}}),
		root + "sd-vae": names(catalog.VAE, func(name string) any {
			return map[string]string{"model_name": name, "filename": name}
		}),
		root + "loras": names(catalog.LoRA, func(name string) any {
			return wireNamed{Name: name, Alias: name, Path: name, Meta: map[string]any{}}
		}),
		root + "embeddings":        f.embeddings,
		root + "hypernetworks":     fixed([]any{}),
		root + "face-restorers":    fixed([]any{}),
		root + "realesrgan-models": fixed([]any{}),
		root + "prompt-styles":     f.styles,
		root + "extensions":        fixed([]any{}),
		root + "scripts":           fixed(map[string][]string{"txt2img": {"controlnet"}, "img2img": {"controlnet"}}),
		root + "script-info": fixed([]map[string]any{{"name": "controlnet", "is_alwayson": true, "is_img2img": false, "args": []any{}},
			{"name": "controlnet", "is_alwayson": true, "is_img2img": true, "args": []any{}}}),
		root + "cmd-flags":      fixed(map[string]any{"api": true, "nowebui": true, "api_server_stop": false}),
		control + "version":     fixed(map[string]int{"version": 2}),
		control + "settings":    fixed(map[string]int{"control_net_unit_count": 16}),
		control + "model_list":  f.nets,
		control + "module_list": f.modules,
	}
}

// styles lists the styles of the model that the caller's settings name.
func (f *server) styles(r *http.Request, _ *told) (any, error) {
	model, _ := f.current(face.Caller(r.Context()).Owner)[setModel].(string)
	found, err := f.s.Styles(model)
	list := []wireStyle{}
	for _, s := range found {
		list = append(list, wireStyle(s))
	}
	return list, err
}

func (f *server) models(*http.Request, *told) (any, error) {
	list := []wireModel{}
	for _, m := range f.s.Models() {
		list = append(list, wireModel{Title: m.Name, Name: m.Name, Filename: m.Name})
	}
	return list, nil
}

// wireSamplers are A1111's samplers, then those that only this program has.
func wireSamplers() []wireSampler {
	list, taken := []wireSampler{}, map[string]bool{}
	for _, s := range samplers {
		x := wireSampler{Name: s, Aliases: []string{}, Options: map[string]string{}}
		if class, _, err := scheduler.Resolve(s); err == nil {
			taken[class] = true
		}
		if schedule := recall.AutomaticSchedule(s); schedule != "" {
			x.Options["scheduler"] = schedule
		}
		list = append(list, x)
	}
	for _, class := range scheduler.Names() {
		if !taken[class] {
			list = append(list, wireSampler{Name: strings.TrimSuffix(class, "Scheduler"), Aliases: []string{class}, Options: map[string]string{}})
		}
	}
	return list
}

func wireSchedules() []wireSchedule {
	list := []wireSchedule{}
	for _, s := range schedules {
		list = append(list, wireSchedule{Name: s.name, Label: s.label, Aliases: []string{}})
	}
	for _, word := range scheduler.SpacingNames() {
		if !slices.ContainsFunc(schedules, func(s schedule) bool { return s.name == word }) {
			list = append(list, wireSchedule{Name: word, Label: word, Aliases: []string{}})
		}
	}
	return list
}

// anyScale is what resizers are said to enlarge by; they take any scale.
var anyScale = 4.0

func (f *server) upscalers(*http.Request, *told) (any, error) {
	list := []wireUpscaler{}
	for _, name := range resizers {
		list = append(list, wireUpscaler{Name: name, Scale: &anyScale})
	}
	files, err := f.s.Files(catalog.Upscaler)
	for _, name := range files {
		list = append(list, wireUpscaler{Name: name, Model: &name})
	}
	return list, err
}

func (f *server) embeddings(*http.Request, *told) (any, error) {
	files, err := f.s.Files(catalog.Embedding)
	loaded := map[string]wireEmbedding{}
	for _, name := range files {
		loaded[name] = wireEmbedding{}
	}
	return map[string]any{"loaded": loaded, "skipped": map[string]wireEmbedding{}}, err
}

// memory tells the memory of the machine, and of its devices.
func (f *server) memory(r *http.Request, _ *told) (any, error) {
	m, err := f.s.Memory(r.Context())
	if err != nil {
		return nil, err
	}
	total, free := machine.RAM()
	cuda := map[string]any{"error": "there is no CUDA device"}
	devices := []map[string]any{}
	for _, d := range m.Devices {
		system := map[string]int64{"free": d.FreeBytes, "used": d.TotalBytes - d.FreeBytes, "total": d.TotalBytes}
		devices = append(devices, map[string]any{"name": d.ID, "system": system})
		if strings.HasPrefix(d.ID, "cuda") && cuda["error"] != nil {
			cuda = map[string]any{"system": system}
		}
	}
	return map[string]any{"ram": map[string]int64{"free": free, "used": m.RSS, "total": total}, "cuda": cuda, "devices": devices}, nil
}
