package controlnet

import (
	"fmt"
	"image"
	"math"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/words"
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

// Preprocessors lists every preprocessor, in the order of the documentation.
var Preprocessors = []Preprocessor{
	{Name: "none", Aliases: []string{"passthrough"}, Doc: "the picture is a map already: depth, pose, segments, normals, or edges made " +
		"elsewhere",
		run: func(img *image.NRGBA, _ values) *image.NRGBA { return img }},
	{Name: "canny", Doc: "edges one pixel wide, white on black, as OpenCV's Canny finds them",
		Options: []Option{
			{Name: "low_threshold", Doc: "of the gradient, where an edge that began goes on", Default: 100, Min: 0, Max: 4096},
			{Name: "high_threshold", Doc: "of the gradient, where an edge begins", Default: 200, Min: 0, Max: 4096},
			{Name: "l2_gradient", Doc: "length of the gradient instead of the sum of its parts", Max: 1, Switch: true},
		}, run: canny},
	{Name: "softedge", Doc: "strength of edges as shades of grey: the gradient of the blurred picture. A plain stand-in for the networks " +
		"HED and PiDiNet",
		Options: []Option{{Name: "sigma", Doc: "of the blur, in pixels", Default: 2, Min: 0.3, Max: 50}}, run: softEdge},
	{Name: "lineart", Aliases: []string{"lineart_standard"}, Doc: "lines darker than their surroundings, white on black, as A1111's " +
		"lineart_standard; no network",
		Options: []Option{
			{Name: "sigma", Doc: "of the surroundings, in pixels", Default: 6, Min: 0.3, Max: 50},
			{Name: "threshold", Doc: "darkness from which on pixels count for the overall contrast", Default: 8, Min: 0, Max: 255},
		}, run: lineart},
	{Name: "scribble", Aliases: []string{"scribble_xdog"}, Doc: "bold strokes, white on black: the difference of two blurs, cut (as " +
		"A1111's scribble_xdog)",
		Options: []Option{{Name: "threshold", Doc: "how strong a line must be", Default: 32, Min: 1, Max: 255}}, run: scribble},
	{Name: "invert", Doc: "negative: for dark lines on white paper, since nets want white on black", run: invert},
	{Name: "tile", Aliases: []string{"tile_resample"}, Doc: "the picture without its detail: scaled down and up again",
		Options: []Option{{Name: "down_sampling_rate", Doc: "by how much it is scaled down", Default: 4, Min: 1, Max: 64}}, run: tile},
	{Name: "blur", Aliases: []string{"blur_gaussian", "tile_blur"}, Doc: "the picture blurred",
		Options: []Option{{Name: "sigma", Doc: "of the blur, in pixels", Default: 9, Min: 0.3, Max: 100}}, run: blurred},
	{Name: "threshold", Doc: "black and white, cut at a brightness",
		Options: []Option{{Name: "threshold", Doc: "luma above this is white", Default: 127, Min: 0, Max: 255}}, run: threshold},
	{Name: "recolor", Aliases: []string{"grayscale", "recolor_luminance"}, Doc: "shades of grey, for nets that recolour",
		Options: []Option{{Name: "gamma", Doc: "above 1 is darker", Default: 1, Min: 0.1, Max: 10}}, run: recolor},
}

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
	return Preprocessor{}, fmt.Errorf("%q is unknown%s; known are %s", name, words.DidYouMean(name, names), strings.Join(names, ", "))
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
	switch v := v.(type) {
	case float64:
		return v, !o.Switch || v == 0 || v == 1
	case int64:
		return float64(v), !o.Switch || v == 0 || v == 1
	case int:
		return float64(v), !o.Switch || v == 0 || v == 1
	case bool:
		if v {
			return 1, o.Switch
		}
		return 0, o.Switch
	}
	return 0, false
}
