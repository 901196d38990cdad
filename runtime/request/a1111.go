package request

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
)

// foreign is a job's table in which another program's names may stand.
type foreign struct {
	*decoder
	table map[string]any    // as it was written
	keys  map[string]string // how its keys are spelled, by their folded names
	in    map[string]any    // the table as far as it has this package's names
	at    string
}

// adopt gives the keys of a job's table this package's names, and takes apart what has no one key here. What belongs to
// [model] goes there.
func (d *decoder) adopt(table map[string]any, at string, model map[string]any) map[string]any {
	f := foreign{d, table, foldedKeys(table), maps.Clone(table), at}
	f.sampler()
	f.secondPass()
	f.countImages()
	f.withoutRefiner()
	f.mask()
	for _, t := range []struct {
		name  string
		adopt func(table map[string]any, at string)
	}{{"crossattentionkwargs", f.attentionKwargs}, {"overridesettings", f.overrideSettings}, {"alwaysonscripts", f.scripts}} {
		v, ok := f.take(t.name)
		inner, isTable := v.value.(map[string]any)
		if isTable {
			t.adopt(inner, v.path)
		} else if ok {
			d.errs.Add(v.path, "is %s; expected a table", kindOf(v.value))
		}
	}
	out := d.rename(tableNames[reflect.TypeFor[Request]()], f.in, at)
	for _, key := range sortedKeys(out) {
		value, ok := out[key]
		if inner, ofModel := strings.CutPrefix(key, "model."); ok && ofModel {
			delete(out, key)
			d.put(model, inner, value.(moved))
		}
	}
	return out
}

func foldedKeys(table map[string]any) map[string]string {
	keys := make(map[string]string, len(table))
	for _, key := range sortedKeys(table) {
		keys[fold(key)] = key
	}
	return keys
}

func (f foreign) has(name string) bool {
	_, ok := f.keys[name]
	return ok
}

// get returns what a name is given as; nil where it is not.
func (f foreign) get(name string) any { return f.table[f.keys[name]] }

// moved is get, with the place.
func (f foreign) moved(name string) moved { return moved{f.get(name), join(f.at, f.keys[name])} }

// take takes what a name is given as out of the table, if it is.
func (f foreign) take(name string) (v moved, given bool) {
	if f.get(name) == nil {
		return moved{}, false
	}
	delete(f.in, f.keys[name])
	return f.moved(name), true
}

// sampler takes A1111's schedule type, which is called scheduler beside a sampler's name.
func (f foreign) sampler() {
	named := f.has("samplername")
	if named {
		delete(f.in, f.keys["samplerindex"])
	}
	if named || f.has("samplerindex") {
		if v, given := f.take("scheduler"); given {
			f.put(f.in, "sigmas", v)
		}
	}
	f.plusPlus()
}

// plusPlus takes A1111's guidance scale of DDIM CFG++, which is there divided by 12.5 so that its usual values fit.
func (f foreign) plusPlus() {
	name, _ := f.get("samplername").(string)
	if name == "" {
		name, _ = f.get("samplerindex").(string)
	}
	scale, isNumber := number(f.get("cfgscale"))
	if !strings.EqualFold(name, "DDIM CFG++") || !isNumber {
		return
	}
	v, _ := f.take("cfgscale")
	f.put(f.in, "guidance_scale", moved{scale / a1111PlusPlusGuidanceUnit, v.path})
	f.notes = append(f.notes, fmt.Sprintf("%s is divided by %v, as AUTOMATIC1111 does for DDIM CFG++", v.path, a1111PlusPlusGuidanceUnit))
}

// secondPass takes A1111's hires fix, whose strength has the name of image-to-image's.
func (f foreign) secondPass() {
	on, told := f.get("enablehr").(bool)
	if told && !on {
		for name, key := range f.keys {
			if strings.HasPrefix(name, "hr") {
				delete(f.in, key)
			}
		}
	}
	strength := DefaultHiresStrength
	inner, _ := f.get("hires").(map[string]any)
	if s, ok := number(snakeKeys(inner)["strength"]); ok {
		strength = s
	}
	if !f.hasPicture() {
		v, given := f.take("denoisingstrength")
		if given && (on || f.has("hrscale") && !told) {
			f.put(f.in, "hires.strength", v)
			if s, ok := number(v.value); ok {
				strength = s
			}
		}
	}
	if !told || on {
		f.secondPassSteps(strength, on)
	}
}

// secondPassSteps turns A1111's steps, which are those that the second pass makes, into the schedule of which strength
// makes so many. Where none are given, and the hires fix is on in A1111's way, they are as many as the first pass's.
func (f foreign) secondPassSteps(strength float64, on bool) {
	const own = "hrsecondpasssteps"
	name := own
	steps, isInt := integer(f.get(own))
	if on && (f.get(own) == nil || isInt && steps == 0) {
		delete(f.in, f.keys[own])
		if name = "numinferencesteps"; f.has("steps") {
			name = "steps"
		}
		steps, isInt = integer(f.get(name))
	}
	if !isInt || steps < 1 || steps > MaxSteps || strength <= 0 || strength > 1 {
		return // what is wrong is found where it is set
	}
	path := f.moved(name).path
	n := scheduleOf(steps, strength)
	if n > MaxSteps {
		f.errs.Add(path, "%d steps at a strength of %v are part of a schedule of %d, and %d is the longest; "+
			"raise the strength or make fewer", steps, strength, n, MaxSteps)
		return
	}
	delete(f.in, f.keys[own])
	f.put(f.in, "hires.steps", moved{n, path})
}

// scheduleOf is the length of the schedule of which strength makes so many steps: A1111 counts those that are made.
func scheduleOf(steps int64, strength float64) int64 {
	n := int64(math.Ceil(float64(steps) / strength))
	for int64(float64(n)*strength) < steps { // rounding
		n++
	}
	return n
}

// hasPicture reports whether a job has a picture or latents that strength can be about.
func (f foreign) hasPicture() bool {
	return slices.ContainsFunc([]string{"initimage", "initimages", "image", "latents"}, func(name string) bool {
		value := f.get(name)
		return value != nil && !isEmpty(value)
	})
}

// withoutRefiner removes the point where the refiner begins if the request says that there is no refiner.
func (f foreign) withoutRefiner() {
	if f.has("refinercheckpoint") && isNone(f.get("refinercheckpoint")) {
		delete(f.in, f.keys["refinerswitchat"])
	}
}

// countImages makes num_images of n_iter and batch_size. What is wrong with either is found where it is set.
func (f foreign) countImages() {
	n, counted := integer(f.get("niter"))
	size, ok := integer(f.get("batchsize"))
	if !ok {
		size = 1
	}
	switch {
	case f.has("niter"):
		if counted && n >= 1 && size >= 1 && n <= MaxImages && size <= MaxImages {
			f.in[f.keys["niter"]] = n * size
		}
	case f.get("batchsize") != nil && !f.has("numimages"):
		f.in["num_images"] = f.moved("batchsize")
	}
}

// overrideSettings takes A1111's settings of one request.
func (f foreign) overrideSettings(settings map[string]any, at string) {
	for _, key := range sortedKeys(settings) {
		value := moved{settings[key], join(at, key)}
		switch name := fold(key); {
		case settings[key] == nil || isEmpty(settings[key]):
		case name == "sdmodelcheckpoint":
			f.in["model.model"] = value
		case name == "sdvae":
			if s, ok := settings[key].(string); !ok || s != "Automatic" && s != "None" {
				f.in["model.vae"] = value
			}
		case name == "clipstopatlastlayers":
			f.notes = append(f.notes, value.path+" is left out: AUTOMATIC1111 does not apply it to SDXL either; clip_skip does")
		default:
			f.errs.Add(value.path, "is not offered here; leave it out")
		}
	}
}

// attentionKwargs takes diffusers' cross_attention_kwargs.
func (f foreign) attentionKwargs(table map[string]any, at string) {
	for _, key := range sortedKeys(table) {
		if key != "scale" {
			f.errs.Add(join(at, key), "is not offered here; leave it out")
			continue
		}
		f.put(f.in, "lora_stack.global_weight", moved{table[key], join(at, key)})
	}
}

// scripts takes A1111's alwayson_scripts, of which ControlNet's is known.
func (f foreign) scripts(scripts map[string]any, at string) {
	for _, key := range sortedKeys(scripts) {
		path := join(at, key)
		script, _ := scripts[key].(map[string]any)
		args, isList := script["args"].([]any)
		switch {
		case isEmpty(scripts[key]) || isList && len(args) == 0:
		case fold(key) != "controlnet":
			f.errs.Add(path, "is not offered here; leave it out")
		case !isList:
			f.errs.Add(path, "has no args; expected a list of units")
		default:
			nets, adapters := f.units(args, path+".args")
			f.put(f.in, "controlnet", moved{nets, path + ".args"})
			if len(adapters) > 0 {
				f.put(f.in, "ip_adapter", moved{adapters, path + ".args"})
			}
		}
	}
}

// units turns the units of A1111's ControlNet script into entries of [[controlnet]], and of [[ip_adapter]].
func (d *decoder) units(args []any, at string) (nets, adapters []any) {
	nets = []any{}
	for i, arg := range args {
		path := fmt.Sprintf("%s[%d]", at, i)
		unit, ok := arg.(map[string]any)
		if !ok {
			d.errs.Add(path, "is %s; expected a unit, which is a table", kindOf(arg))
			continue
		}
		f := foreign{d, unit, foldedKeys(unit), map[string]any{}, path}
		if f.get("enabled") == false {
			continue
		}
		for key, value := range unit {
			f.in[key] = moved{value, join(path, key)}
		}
		f.unitValues()
		if f.showsPicture() {
			f.pictureValue("effectiveregionmask")
			if module := textOf(f.get("module")); strings.Contains(strings.ToLower(module), "face") {
				d.errs.Add(f.moved("module").path, "is %s, which finds faces; that is not offered: make embeddings of them, and give them as faces of "+
					"an [[ip_adapter]]", clip(module))
			}
			adapters = append(adapters, moved{f.in, path})
		} else {
			nets = append(nets, moved{f.in, path})
		}
	}
	return nets, adapters
}

// showsPicture reports whether a unit is an IP-Adapter's, which its module's name tells, or its model's.
func (f foreign) showsPicture() bool {
	name := strings.ToLower(textOf(f.get("module")))
	if name == "" || name == "none" {
		name = strings.ToLower(textOf(f.get("model")))
	}
	return strings.HasPrefix(strings.ReplaceAll(name, "_", "-"), "ip-adapter")
}

// pictureValue reads a picture of a unit.
func (f foreign) pictureValue(name string) {
	if !f.has(name) {
		return
	}
	value, err := pictureValue(f.get(name))
	if err != nil {
		f.errs.Add(f.moved(name).path, "%v", err)
	}
	f.in[f.keys[name]] = moved{value, f.moved(name).path}
}

// unitValues turns A1111's words and numbers for the values of a unit into this package's.
func (f foreign) unitValues() {
	set := func(name string, value any) { f.in[f.keys[name]] = moved{value, f.moved(name).path} }
	for _, w := range []struct {
		name  string
		words []string // by A1111's number
		texts map[string]string
	}{
		{"controlmode", wordsOf("controlnet.control_mode"), map[string]string{"balanced": controlBalanced,
			"my prompt is more important":  controlPrompt,
			"controlnet is more important": controlControl}},
		{"resizemode", wordsOf("controlnet.resize_mode"), map[string]string{"just resize": "stretch", "crop and resize": "crop",
			"resize and fill": "pad", "scale to fit (inner fit)": "crop", "envelope (outer fit)": "pad"}},
	} {
		value := f.get(w.name)
		if s, known := w.texts[strings.ToLower(textOf(value))]; known {
			set(w.name, s)
		} else if n, isInt := integer(value); isInt && n >= 0 && n < int64(len(w.words)) {
			set(w.name, w.words[n])
		}
	}
	if s, isText := f.get("model").(string); isText { // "name [hash]"
		set("model", strings.TrimSpace(strings.SplitN(s, " [", 2)[0]))
	}
	f.pictureValue("image")
	for _, t := range []struct{ name, option string }{{"thresholda", "low_threshold"}, {"thresholdb", "high_threshold"}} {
		if x, isNumber := number(f.get(t.name)); isNumber && x >= 0 && f.get("module") == "canny" { // -1: the module's own
			f.put(f.in, "preprocessor_options."+t.option, f.moved(t.name))
		}
	}
}
