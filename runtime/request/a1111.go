package request

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
)

// adopt gives the keys of a job's table this package's names, and takes apart what has no one key here. What belongs to
// [model] goes there.
func (d *decoder) adopt(table map[string]any, at string, model map[string]any) map[string]any {
	keys := foldedKeys(table)
	in := maps.Clone(table)
	drop := func(name string) { delete(in, keys[name]) }
	_, named := keys["samplername"]
	if _, indexed := keys["samplerindex"]; named || indexed {
		if named {
			drop("samplerindex")
		}
		if key, ok := keys["scheduler"]; ok { // A1111's schedule type
			drop("scheduler")
			if table[key] != nil {
				d.put(in, "sigmas", moved{table[key], join(at, key)})
			}
		}
	}
	d.secondPass(in, table, keys, at)
	if key, ok := keys["niter"]; ok {
		d.countImages(in, table, keys, key)
	} else if key, ok := keys["batchsize"]; ok {
		if _, given := keys["numimages"]; !given && table[key] != nil {
			in["num_images"] = moved{table[key], join(at, key)}
		}
	}
	for _, name := range []string{"crossattentionkwargs", "overridesettings", "alwaysonscripts"} {
		key, ok := keys[name]
		if !ok || table[key] == nil {
			continue
		}
		drop(name)
		inner, isTable := table[key].(map[string]any)
		if !isTable {
			d.errs.Add(join(at, key), "is %s; expected a table", kindOf(table[key]))
			continue
		}
		switch name {
		case "overridesettings":
			d.overrideSettings(inner, join(at, key), in)
		case "alwaysonscripts":
			d.scripts(inner, join(at, key), in)
		default:
			d.attentionKwargs(inner, join(at, key), in)
		}
	}
	out := d.rename(tableNames[reflect.TypeFor[Request]()], in, at)
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

// secondPass takes A1111's hires fix, whose strength has the name of image-to-image's.
func (d *decoder) secondPass(in, table map[string]any, keys map[string]string, at string) {
	on, told := table[keys["enablehr"]].(bool)
	if told && !on {
		for name, key := range keys {
			if strings.HasPrefix(name, "hr") {
				delete(in, key)
			}
		}
	}
	_, scaled := keys["hrscale"]
	use := on || scaled && !told
	strength := DefaultHiresStrength
	given := func(value any) {
		if s, ok := number(value); ok {
			strength = s
		}
	}
	if inner, isTable := table[keys["hires"]].(map[string]any); isTable {
		given(snakeKeys(inner)["strength"])
	}
	if key, ok := keys["denoisingstrength"]; ok && !hasPicture(table, keys) {
		delete(in, key)
		if table[key] != nil && use {
			d.put(in, "hires.strength", moved{table[key], join(at, key)})
			given(table[key])
		}
	}
	if !told || on {
		d.secondPassSteps(in, table, keys, at, strength, on)
	}
}

// secondPassSteps turns A1111's steps, which are those that the second pass makes, into the schedule of which strength
// makes so many. Where none are given, and the hires fix is on in A1111's way, they are as many as the first pass's.
func (d *decoder) secondPassSteps(in, table map[string]any, keys map[string]string, at string, strength float64, on bool) {
	own := keys["hrsecondpasssteps"]
	key := own
	steps, isInt := integer(table[own])
	if on && (table[own] == nil || isInt && steps == 0) {
		delete(in, own)
		key = cmp.Or(keys["steps"], keys["numinferencesteps"])
		steps, isInt = integer(table[key])
	}
	if !isInt || steps < 1 || steps > MaxSteps || strength <= 0 || strength > 1 {
		return // what is wrong is found where it is set
	}
	n := scheduleOf(steps, strength)
	if n > MaxSteps {
		d.errs.Add(join(at, key), "%d steps at a strength of %v are part of a schedule of %d, and %d is the longest; "+
			"raise the strength or make fewer", steps, strength, n, MaxSteps)
		return
	}
	delete(in, own)
	d.put(in, "hires.steps", moved{n, join(at, key)})
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
func hasPicture(table map[string]any, keys map[string]string) bool {
	return slices.ContainsFunc([]string{"initimage", "initimages", "image", "latents"}, func(name string) bool {
		value := table[keys[name]]
		return value != nil && !isEmpty(value)
	})
}

// countImages makes num_images of n_iter and batch_size.
func (d *decoder) countImages(in, table map[string]any, keys map[string]string, key string) {
	n, ok := integer(table[key])
	size := int64(1)
	if sizeKey, has := keys["batchsize"]; has {
		if b, isInt := integer(table[sizeKey]); isInt {
			size = b
		}
	}
	if !ok || n < 1 || size < 1 || n > MaxImages || size > MaxImages {
		return // what is wrong with either is found where it is set
	}
	in[key] = n * size
}

// overrideSettings takes A1111's settings of one request.
func (d *decoder) overrideSettings(settings map[string]any, at string, in map[string]any) {
	for _, key := range sortedKeys(settings) {
		value := moved{settings[key], join(at, key)}
		switch name := fold(key); {
		case settings[key] == nil || isEmpty(settings[key]):
		case name == "sdmodelcheckpoint":
			in["model.model"] = value
		case name == "sdvae":
			if s, ok := settings[key].(string); !ok || s != "Automatic" && s != "None" {
				in["model.vae"] = value
			}
		case name == "clipstopatlastlayers":
			d.notes = append(d.notes, value.path+" is left out: AUTOMATIC1111 does not apply it to SDXL either; clip_skip does")
		default:
			d.errs.Add(value.path, "is not offered here; leave it out")
		}
	}
}

// attentionKwargs takes diffusers' cross_attention_kwargs.
func (d *decoder) attentionKwargs(table map[string]any, at string, in map[string]any) {
	for _, key := range sortedKeys(table) {
		if key != "scale" {
			d.errs.Add(join(at, key), "is not offered here; leave it out")
			continue
		}
		d.put(in, "lora_stack.global_weight", moved{table[key], join(at, key)})
	}
}

// scripts takes A1111's alwayson_scripts, of which ControlNet's is known.
func (d *decoder) scripts(scripts map[string]any, at string, in map[string]any) {
	for _, key := range sortedKeys(scripts) {
		path := join(at, key)
		script, _ := scripts[key].(map[string]any)
		args, isList := script["args"].([]any)
		switch {
		case isEmpty(scripts[key]) || isList && len(args) == 0:
		case fold(key) != "controlnet":
			d.errs.Add(path, "is not offered here; leave it out")
		case !isList:
			d.errs.Add(path, "has no args; expected a list of units")
		default:
			d.put(in, "controlnet", moved{d.units(args, path+".args"), path + ".args"})
		}
	}
}

// units turns the units of A1111's ControlNet script into entries of [[controlnet]].
func (d *decoder) units(args []any, at string) []any {
	nets := []any{}
	for i, arg := range args {
		path := fmt.Sprintf("%s[%d]", at, i)
		unit, ok := arg.(map[string]any)
		if !ok {
			d.errs.Add(path, "is %s; expected a unit, which is a table", kindOf(arg))
			continue
		}
		keys := foldedKeys(unit)
		if enabled, given := unit[keys["enabled"]].(bool); given && !enabled {
			continue
		}
		net := map[string]any{}
		for key, value := range unit {
			net[key] = moved{value, join(path, key)}
		}
		d.unitValues(net, unit, keys, path)
		nets = append(nets, moved{net, path})
	}
	return nets
}

// unitValues turns A1111's words and numbers for the values of a unit into this package's.
func (d *decoder) unitValues(net, unit map[string]any, keys map[string]string, path string) {
	for _, w := range []struct {
		name  string
		words []string // by A1111's number
		texts map[string]string
	}{
		{"controlmode", controlModes, map[string]string{"balanced": controlBalanced, "my prompt is more important": controlPrompt,
			"controlnet is more important": controlControl}},
		{"resizemode", enums["controlnet.resize_mode"], map[string]string{"just resize": "stretch", "crop and resize": "crop",
			"resize and fill": "pad", "scale to fit (inner fit)": "crop", "envelope (outer fit)": "pad"}},
	} {
		key, ok := keys[w.name]
		if !ok {
			continue
		}
		value := unit[key]
		if s, known := w.texts[strings.ToLower(textOf(value))]; known {
			value = s
		} else if n, isInt := integer(value); isInt && n >= 0 && n < int64(len(w.words)) {
			value = w.words[n]
		}
		net[key] = moved{value, join(path, key)}
	}
	if key, ok := keys["model"]; ok {
		if s, isText := unit[key].(string); isText { // "name [hash]"
			net[key] = moved{strings.TrimSpace(strings.SplitN(s, " [", 2)[0]), join(path, key)}
		}
	}
	if key, ok := keys["image"]; ok {
		value, err := pictureValue(unit[key])
		if err != nil {
			d.errs.Add(join(path, key), "%v", err)
		}
		net[key] = moved{value, join(path, key)}
	}
	module, _ := unit[keys["module"]].(string)
	for _, t := range []struct{ name, option string }{{"thresholda", "low_threshold"}, {"thresholdb", "high_threshold"}} {
		key, ok := keys[t.name]
		if x, isNumber := number(unit[key]); ok && isNumber && x >= 0 && module == "canny" { // -1: the module's own
			d.put(net, "preprocessor_options."+t.option, moved{unit[key], join(path, key)})
		}
	}
}
