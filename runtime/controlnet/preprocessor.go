package controlnet

import (
	_ "embed" // what the preprocessors are called and take
	"encoding/json"
	"fmt"
	"image"
	"math"
	"slices"
	"strings"
)

// Preprocessor turns a picture into a map of the same size.
type Preprocessor struct {
	Name    string   `json:"name"`
	Aliases []string `json:"aliases,omitempty"` // other programs' names
	Doc     string   `json:"doc"`
	Options []Option `json:"options,omitempty"`

	run func(img *image.NRGBA, o values) *image.NRGBA
}

// Option is a number that a preprocessor can be given. A switch is 0 or 1, and may be written false or true.
type Option struct {
	Name    string  `json:"name"`
	Doc     string  `json:"doc"`
	Default float64 `json:"default"`
	Min     float64 `json:"min"`
	Max     float64 `json:"max"`
	Switch  bool    `json:"switch,omitempty"`
}

// values are options by name.
type values map[string]float64

//go:embed preprocessors.json
var preprocessorsJSON []byte

// runs are the preprocessors' functions, by name.
var runs = map[string]func(img *image.NRGBA, o values) *image.NRGBA{
	"none":  func(img *image.NRGBA, _ values) *image.NRGBA { return img },
	"canny": canny, "softedge": softEdge, "lineart": lineart, "scribble": scribble, "invert": invert, "tile": tile, "blur": blurred,
	"threshold": threshold, "recolor": recolor,
}

// Preprocessors lists every preprocessor, in the order of the documentation.
var Preprocessors = func() (list []Preprocessor) {
	if err := json.Unmarshal(preprocessorsJSON, &list); err != nil {
		panic("controlnet: embedded preprocessors.json: " + err.Error())
	}
	for i, p := range list {
		list[i].run = runs[p.Name]
	}
	return list
}()

// Find returns a preprocessor by name or alias; "" is none.
func Find(name string) (Preprocessor, error) {
	if name == "" {
		return Preprocessors[0], nil
	}
	var names []string
	for _, p := range Preprocessors {
		if strings.EqualFold(p.Name, name) || slices.Contains(p.Aliases, strings.ToLower(name)) {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Preprocessor{}, fmt.Errorf("%q is unknown; known are %s", name, strings.Join(names, ", "))
}

// Preprocess turns a picture into a map of its own size. Absent options are the defaults; unknown ones, and values out of range, are
// errors.
func (p Preprocessor) Preprocess(img image.Image, options map[string]any) (*image.NRGBA, error) {
	return Net{Image: img, Preprocessor: p.Name, Options: options}.Map(img.Bounds().Dx(), img.Bounds().Dy())
}

// values checks options and fills in the defaults.
func (p Preprocessor) values(options map[string]any) (values, error) {
	out := values{}
	for _, o := range p.Options {
		out[o.Name] = o.Default
	}
	for name, given := range options {
		at := slices.IndexFunc(p.Options, func(o Option) bool { return o.Name == name })
		if at < 0 {
			return nil, fmt.Errorf("%s: %s has no such option%s", name, p.Name, p.optionNames())
		}
		o := p.Options[at]
		x, ok := o.number(given)
		if !ok || math.IsNaN(x) || x < o.Min || x > o.Max {
			return nil, fmt.Errorf("%s: is %v; expected %s", name, given, o.wanted())
		}
		out[name] = x
	}
	if low, high := out["low_threshold"], out["high_threshold"]; low > high {
		return nil, fmt.Errorf("low_threshold: is %v, more than high_threshold, which is %v", low, high)
	}
	return out, nil
}

func (p Preprocessor) optionNames() string {
	if len(p.Options) == 0 {
		return "; it has none"
	}
	names := make([]string, len(p.Options))
	for i, o := range p.Options {
		names[i] = o.Name
	}
	return "; there are " + strings.Join(names, ", ")
}

func (o Option) wanted() string {
	if o.Switch {
		return "true or false"
	}
	return fmt.Sprintf("a number from %v to %v", o.Min, o.Max)
}

// number takes what TOML, JSON and Go programs give.
func (o Option) number(v any) (float64, bool) {
	x := 0.0
	switch v := v.(type) {
	case float64:
		x = v
	case int64:
		x = float64(v)
	case int:
		x = float64(v)
	case bool:
		if v {
			x = 1
		}
		return x, o.Switch
	default:
		return 0, false
	}
	return x, !o.Switch || x == 0 || x == 1
}
