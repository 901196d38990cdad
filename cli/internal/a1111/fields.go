package a1111

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/studio"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// asked is what a client asks for.
type asked struct {
	*told
	run        map[string]any // as the studio takes it
	parameters map[string]any // as the client sent it
	ignored    []string       // names of fields that are not known
	settings   map[string]any // that count for this request
	fromImage  bool           // img2img
	errs       request.Errors
}

// absent says what a field means that is left out.
type absent struct {
	name  string
	value any    // A1111's
	set   bool   // it is used here, too
	here  string // what is used instead
	needs string // a field without which it means nothing
}

// absents are the fields that A1111 fills in with something else than a run of this program. Everything that a mask is about is set where
// requests have it.
func absents() []absent {
	_, inpaint := face.RunKey("inpaint")
	return []absent{
		{name: "steps", value: 50, here: "the model's own number of steps is made"},
		{name: "cfg_scale", value: 7, here: "the model's own is used"},
		{name: "width", value: 512, here: "the model's own, or the picture's, is used"},
		{name: "height", value: 512, here: "the model's own, or the picture's, is used"},
		{name: "denoising_strength", value: json.Number("0.75"), set: true, needs: "init_images"},
		{name: "mask_blur", value: 4, set: inpaint, here: "a mask has hard edges", needs: "mask"},
		{name: "inpainting_fill", value: 0, set: inpaint, here: "painting begins with what is under the mask", needs: "mask"},
		{name: "inpaint_full_res", value: true, set: inpaint, here: "the whole picture is worked on", needs: "mask"},
	}
}

// otherNames are further names of fields; a field that has one of them is not absent.
var otherNames = map[string][]string{"steps": {"num_inference_steps"}, "cfg_scale": {"guidance_scale"}, "denoising_strength": {"strength"},
	"mask_blur": {"mask_blur_x", "mask_blur_y", "inpaint"}, "inpainting_fill": {"inpaint"}, "inpaint_full_res": {"inpaint"}}

// ask reads a request of txt2img or img2img.
func (f *server) ask(r *http.Request, t *told, fromImage bool) (*asked, error) {
	body, err := read(r)
	if err != nil {
		return nil, err
	}
	a := &asked{told: t, run: map[string]any{}, parameters: maps.Clone(body), fromImage: fromImage}
	for _, name := range slices.Sorted(maps.Keys(body)) {
		switch _, known := face.RunKey(name); {
		case name == "model": // of [model], which A1111 has among its settings
			a.errs.Add(name, "is no field here; write override_settings.sd_model_checkpoint")
		case known || name == "send_images" || name == "save_images":
			if body[name] != nil {
				a.run[name] = body[name]
			}
		default:
			a.ignored = append(a.ignored, name)
			a.warn("%s", face.Unknown(name, nil))
		}
	}
	a.pictures()
	a.fill()
	f.useSettings(face.Caller(r.Context()).Owner, a)
	a.setSampler()
	f.useUpscaler(a)
	a.useScripts()
	if _, ok := a.run["prompt"]; !ok {
		a.run["prompt"] = ""
	}
	for _, name := range []string{"send_images", "save_images", "include_init_images"} {
		delete(a.run, name)
	}
	if err := a.errs.Err(); err != nil {
		return nil, &studio.Problem{Kind: studio.Invalid, Code: string(service.CodeInvalid), Message: err.Error(), Fields: a.errs}
	}
	return a, nil
}

// pictures checks the picture to start from.
func (a *asked) pictures() {
	if a.fromImage {
		if list, _ := a.run["init_images"].([]any); len(list) == 0 && a.run["init_image"] == nil {
			a.errs.Add("init_images", "is missing; give a list of one picture, in base64")
		}
		return
	}
	for _, name := range []string{"init_images", "mask"} {
		if _, given := a.run[name]; given {
			delete(a.run, name)
			a.ignored = append(a.ignored, name)
			a.warn("%s was left out: txt2img starts from no picture; POST it to %simg2img", name, root)
		}
	}
}

// fill sets or tells what the client has left out.
func (a *asked) fill() {
	for _, f := range absents() {
		if _, given := a.run[f.name]; given || f.needs != "" && a.run[f.needs] == nil {
			continue
		}
		if slices.ContainsFunc(otherNames[f.name], func(other string) bool { return a.run[other] != nil }) {
			continue
		}
		if f.set {
			a.run[f.name] = f.value
		} else {
			a.warn("%s is left out: %s (AUTOMATIC1111 has %v)", f.name, f.here, f.value)
		}
	}
}

// useUpscaler lets a second pass enlarge with one of the server's upscalers, where it is named.
func (f *server) useUpscaler(a *asked) {
	name, _ := a.run["hr_upscaler"].(string)
	if on, _ := a.run["enable_hr"].(bool); !on || name == "" {
		return
	}
	files, err := f.s.Files(catalog.Upscaler)
	if err != nil || !slices.Contains(files, name) {
		return
	}
	a.run["model"].(map[string]any)["upscaler"] = name
}

// useScripts leaves out scripts that ask for nothing, and gives ControlNet's units the picture to start from where they have none.
func (a *asked) useScripts() {
	scripts, ok := a.run["alwayson_scripts"].(map[string]any)
	if !ok {
		return // what is no table is refused where it is read
	}
	scripts = maps.Clone(scripts)
	a.run["alwayson_scripts"] = scripts
	for name, script := range scripts {
		table, _ := script.(map[string]any)
		args, isList := table["args"].([]any)
		switch {
		case isList && !slices.ContainsFunc(args, asksForSomething):
			delete(scripts, name)
		case isList && strings.EqualFold(name, "controlnet"):
			scripts[name] = map[string]any{"args": a.units(args)}
		}
	}
}

// asksForSomething tells a script's argument from one that switches it off.
func asksForSomething(arg any) bool { return arg != nil && arg != false && arg != "" }

// units reads ControlNet's units.
func (a *asked) units(args []any) []any {
	out := []any{}
	for _, arg := range args {
		unit, ok := arg.(map[string]any)
		if !ok {
			out = append(out, arg) // which is refused where it is read
			continue
		}
		unit = maps.Clone(unit)
		for _, key := range []string{"image", "input_image"} {
			if v, given := unit[key]; given && (v == nil || v == "") {
				delete(unit, key)
			}
		}
		if list, _ := a.run["init_images"].([]any); unit["image"] == nil && unit["input_image"] == nil && len(list) > 0 {
			unit["image"] = list[0]
		}
		if s, ok := unit["module"].(string); ok {
			unit["module"] = moduleOf(s)
		}
		if unit["enabled"] == nil {
			unit["enabled"] = true
		}
		out = append(out, unit)
	}
	return out
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case json.Number:
		x, err := v.Float64()
		return x, err == nil
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// flag is a boolean of the request.
func flag(table map[string]any, name string, otherwise bool) bool {
	if b, ok := table[name].(bool); ok {
		return b
	}
	return otherwise
}

// sprint writes a value for a message, not too long.
func sprint(v any) string {
	text := fmt.Sprint(v)
	if data, err := json.Marshal(v); err == nil {
		text = string(data)
	}
	const most = 60
	if len(text) > most {
		text = text[:most] + "..."
	}
	return text
}
