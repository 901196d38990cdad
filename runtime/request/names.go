package request

import (
	_ "embed" // the names
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/lora"
)

// Name is what another program calls a key.
type Name struct {
	Table string // as Key.Table: "" for a job, "model", "lora", "controlnet", "ip_adapter"
	Name  string // its name there, in snake_case
	From  string // "diffusers", "A1111" (AUTOMATIC1111's web API: /sdapi/v1/txt2img and img2img) or "ComfyUI"
	Key   string // the key of the same table; "model.x" for one of [model]; "x.y" for one within a table; "" where it is left out
	Doc   string // what is done besides renaming; "" if nothing

	Convert string `json:"convert"` // a key of conversions; "": the value stays as it is
	Idle    []any  `json:"idle"`    // Key is "": the values that change nothing; others are refused. nil: all are passed over
	Needs   string `json:"needs"`   // "mask" or "picture": without one in the run every value is idle
	Remedy  string `json:"remedy"`  // of a value that is refused
}

//go:embed names.json
var namesJSON []byte

var names = embedded[[]Name]("names.json", namesJSON)

// Names lists the names that are understood besides the keys themselves.
func Names() []Name { return slices.Clone(names) }

// tableNames holds the names of a struct's keys, by their folded spelling.
var tableNames = map[reflect.Type]map[string]Name{
	reflect.TypeFor[Request]():      namesOf(""),
	reflect.TypeFor[Model]():        namesOf("model"),
	reflect.TypeFor[lora.Adapter](): namesOf("lora"),
	reflect.TypeFor[ControlNet]():   namesOf("controlnet"),
	reflect.TypeFor[IPAdapter]():    namesOf("ip_adapter"),
	reflect.TypeFor[Region]():       namesOf("region"),
	reflect.TypeFor[Detail]():       namesOf("detail"),
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

// fromWebUI reports whether a job's table is in A1111's form: some key has a name that only A1111 uses.
func fromWebUI(table map[string]any) bool {
	known := tableNames[reflect.TypeFor[Request]()]
	return slices.ContainsFunc(sortedKeys(table), func(key string) bool { return known[fold(key)].From == "A1111" })
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
		if value == nil || n.Needs == "mask" && !d.masked {
			continue // other programs write null for what is not given, and what masks are like where there are none
		}
		if n.Convert != "" {
			converted, err := conversions[n.Convert](value)
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
	if n.Idle == nil || value == nil || isEmpty(value) || n.Needs == "mask" && !d.masked || n.Needs == "picture" && !d.pictured {
		return
	}
	for _, idle := range n.Idle {
		if x, ok := number(value); ok && idle == x || idle == value {
			return
		}
	}
	remedy := "leave it out"
	if len(n.Idle) > 0 {
		remedy += fmt.Sprintf(", or write %v", n.Idle[0])
	}
	if n.Remedy != "" {
		remedy = n.Remedy + "; " + remedy
	}
	d.errs.Add(path, "is %s; this is not offered: %s", kindOf(value), remedy)
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

// conversions turn values of other programs into this package's. A nil is left out.
var conversions = map[string]func(value any) (any, error){
	"picture":    pictureValue,
	"dtype":      dtype,
	"upscaler":   hiresUpscaler,
	"not zero":   unless(0),
	"not one":    unless(1),
	"a name":     aName,
	"a list":     aList,
	"tiling":     ofSwitch(SeamlessBoth, nil), // for pictures that continue across all borders
	"guess mode": ofSwitch(controlControl, controlBalanced),
	"switch":     numberedSwitch,
	"fill":       maskedContent,
}

// ofSwitch converts a boolean.
func ofSwitch(on, off any) func(any) (any, error) {
	return func(value any) (any, error) {
		switch value {
		case true:
			return on, nil
		case false:
			return off, nil
		}
		return nil, fmt.Errorf("is %s; expected a boolean", kindOf(value))
	}
}

// numberedSwitch converts a boolean that may be written as 0 or 1.
func numberedSwitch(value any) (any, error) {
	if n, ok := integer(value); ok && (n == 0 || n == 1) {
		return n == 1, nil
	}
	return ofSwitch(true, false)(value)
}

// maskedContents are A1111's ways to fill the masked part, by their numbers.
var maskedContents = []string{FillBlurred, FillOriginal, FillLatentNoise, FillLatentNothing}

// maskedContent takes A1111's number or name of a way to fill the masked part.
func maskedContent(value any) (any, error) {
	if n, ok := integer(value); ok && n >= 0 && n < int64(len(maskedContents)) {
		return maskedContents[n], nil
	}
	if s, ok := value.(string); ok {
		return strings.ReplaceAll(strings.ToLower(s), " ", "_"), nil
	}
	return nil, fmt.Errorf("is %s; expected a number from 0 to 3, for %s", kindOf(value), strings.Join(maskedContents, ", "))
}

// dtypes are torch's names for the values of precision.
var dtypes = map[string]any{"float32": "f32", "float16": "f16", "bfloat16": "bf16"}

// dtype takes them; others stay as they are.
func dtype(value any) (any, error) {
	if known, ok := dtypes[strings.ToLower(strings.TrimPrefix(textOf(value), "torch."))]; ok {
		return known, nil
	}
	return value, nil
}

// upscalers are A1111's names of upscalers that are no models.
var upscalers = map[string]any{"": nil, "latent": UpscaleLatent, "latent (antialiased)": UpscaleLatent, "latent (bicubic)": UpscaleLatent,
	"latent (bicubic antialiased)": UpscaleLatent, "latent (nearest)": UpscaleLatentNearest, "latent (nearest-exact)": UpscaleLatentNearest,
	"lanczos": UpscalePicture, "none": UpscalePicture, "nearest": UpscalePicture}

func hiresUpscaler(value any) (any, error) {
	name, ok := value.(string)
	if !ok || slices.Contains(wordsOf("hires.upscaler"), name) {
		return value, nil
	}
	if known, ok := upscalers[strings.ToLower(name)]; ok {
		return known, nil
	}
	return UpscaleModel, nil
}

// unless takes a number; one value of it asks for nothing.
func unless(idle float64) func(any) (any, error) {
	return func(value any) (any, error) {
		if x, ok := number(value); ok && x == idle {
			return nil, nil
		}
		return value, nil
	}
}

// aName takes a name, which may say that there is none.
func aName(value any) (any, error) {
	if isNone(value) {
		return nil, nil
	}
	return value, nil
}

// aList takes a text for a list of one.
func aList(value any) (any, error) {
	if s, isText := value.(string); isText {
		return []any{s}, nil
	}
	return value, nil
}

// isNone reports whether a value of A1111's lists stands for nothing.
func isNone(value any) bool {
	s, isText := value.(string)
	return value == nil || isText && (s == "" || strings.EqualFold(s, "none"))
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

// looksLikeBase64 tells base64 from a path: a picture in base64 begins like one of the formats that are read. JPEG's beginning could also
// be a path.
func looksLikeBase64(s string) bool {
	const letters = 16 // of 12 bytes
	if len(s) < letters {
		return false
	}
	head, err := base64.StdEncoding.DecodeString(s[:letters])
	if err != nil {
		return false
	}
	begins := func(magic string) bool { return strings.HasPrefix(string(head), magic) }
	return begins("\x89PNG\r\n\x1a\n") || begins("GIF87a") || begins("GIF89a") || begins("RIFF") && string(head[8:]) == "WEBP" ||
		begins("\xff\xd8\xff") && len(s) > 64
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
