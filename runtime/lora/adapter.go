package lora

import (
	"math"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// The limits of an Adapter. Weights beyond MaxWeight make noise, not pictures.
const (
	MaxWeight = 100.0
	maxBlocks = 256
)

// The components that an adapter changes, as names of a model's modules begin. Both text encoders have one weight.
const (
	UNet         = "unet"
	TextEncoder  = "text_encoder"
	TextEncoder2 = "text_encoder_2"
)

// Adapter is one adapter of a picture: a [[lora]] table. The zero value of each field is its default. Filled gives the values in force.
type Adapter struct {
	Name string `key:"name" default:"path's" doc:"name of the adapter, by which it is found in lora_directories. Also the name in <lora:name:weight>"`
	Path string `key:"path" doc:"file of the adapter (.safetensors, .pt, .pth, .ckpt, .bin), instead of a search by name"`

	Weight            *float64           `key:"weight" default:"1.0" doc:"strength of the adapter, -100 to 100. At 0 it does nothing"`
	ScalingFactor     *float64           `key:"scaling_factor" default:"1.0" doc:"multiplies weight"`
	Enabled           *bool              `key:"enabled" default:"true" doc:"false: the adapter is not used, but its entry stays"`
	UNetWeight        *float64           `key:"unet_weight" default:"weight" doc:"weight for the UNet"`
	TextEncoderWeight *float64           `key:"text_encoder_weight" default:"weight" doc:"weight for both text encoders"`
	BlockWeights      map[string]float64 `key:"block_weights" doc:"table of factors for blocks: BASE (text encoders), IN00 ... IN11, M00, OUT00 ... OUT11, or paths such as down_blocks.1.attentions.0"`

	Start float64 `key:"start" default:"0.0" doc:"the fraction of the steps at which it begins to act"`
	End   float64 `key:"end" default:"1.0" doc:"the fraction of the steps at which it stops"`
}

// Filled returns the adapter with the default of each field that is not set. None of its pointers is nil.
func (a Adapter) Filled() Adapter {
	a.Weight, a.ScalingFactor, a.Enabled = or(a.Weight, 1), or(a.ScalingFactor, 1), or(a.Enabled, true)
	a.UNetWeight, a.TextEncoderWeight = or(a.UNetWeight, *a.Weight), or(a.TextEncoderWeight, *a.Weight)
	if a.End == 0 {
		a.End = 1
	}
	return a
}

// or copies what a pointer points to, or the default.
func or[T any](p *T, otherwise T) *T {
	if p != nil {
		otherwise = *p
	}
	return &otherwise
}

// Label is what the adapter is called in a stack: its name, else its file's.
func (a Adapter) Label() string {
	if a.Name != "" {
		return a.Name
	}
	return Name(a.Path)
}

// Name is what the adapter of a file is called: the file's name without its extension. A file that PEFT names like all others is
// called like its folder.
func Name(path string) string {
	base := filepath.Base(path)
	name := strings.TrimSuffix(base, filepath.Ext(base))
	dir := filepath.Base(filepath.Dir(path))
	if (name == "adapter_model" || name == "pytorch_lora_weights") && dir != "." && dir != string(filepath.Separator) {
		return dir
	}
	return name
}

// ActiveAt reports whether the adapter takes part in a step (from 0) of so many.
func (a Adapter) ActiveAt(step, steps int) bool {
	a = a.Filled()
	at := float64(step) / float64(max(steps, 1))
	return *a.Enabled && at >= a.Start && at < a.End
}

// BlockWeight is the factor for one of a model's modules, given with its block ("IN04", "BASE" or ""). The longest key of BlockWeights
// that matches decides; it is 1 where none does.
func (a Adapter) BlockWeight(module, block string) float64 {
	_, rest, _ := strings.Cut(module, ".")
	best, weight := -1, 1.0
	for key, w := range a.BlockWeights {
		matches, length := false, len(key)
		switch {
		case strings.EqualFold(key, block), strings.EqualFold(key, "mid") && block == "M00":
			matches, length = true, 0 // any path is more exact
		case rest == key, strings.HasPrefix(rest, key+"."):
			matches = true
		}
		if matches && length > best {
			best, weight = length, w
		}
	}
	return weight
}

// blockKey is what a key of BlockWeights may look like.
var blockKey = regexp.MustCompile(`^(?i:base|m00|mid|in[0-9]{2}|out[0-9]{2})$|` +
	`^(down_blocks|up_blocks|mid_block|conv_in|conv_out|time_embedding|add_embedding|text_model)(\.[a-z0-9_]+)*$`)

func (a Adapter) validate(errs *FieldErrors, field func(string) string) {
	if strings.TrimSpace(a.Name) == "" && strings.TrimSpace(a.Path) == "" {
		errs.add(ErrConfig, field("name"), "is missing; give the adapter's name or path")
	}
	errs.text(field("name"), a.Name)
	errs.text(field("path"), a.Path)
	errs.weight(field("weight"), a.Weight)
	errs.weight(field("scaling_factor"), a.ScalingFactor)
	errs.weight(field("unet_weight"), a.UNetWeight)
	errs.weight(field("text_encoder_weight"), a.TextEncoderWeight)
	if len(a.BlockWeights) > maxBlocks {
		errs.add(ErrConfig, field("block_weights"), "has %d entries; at most %d are possible", len(a.BlockWeights), maxBlocks)
	}
	for _, key := range sortedKeys(a.BlockWeights) {
		if !blockKey.MatchString(key) {
			errs.add(ErrConfig, field("block_weights."+key),
				"is no block; expected BASE, IN00 ... IN11, M00, OUT00 ... OUT11, or a path such as down_blocks.1.attentions.0")
			continue
		}
		errs.number(field("block_weights."+key), a.BlockWeights[key], -MaxWeight, MaxWeight)
	}
	errs.number(field("start"), a.Start, 0, 1)
	errs.number(field("end"), a.End, 0, 1)
	if end := a.Filled().End; a.Start >= end {
		errs.add(ErrConfig, field("start"), "is %v, not before end, which is %v: the adapter would never take part", a.Start, end)
	}
}

func (e *FieldErrors) weight(field string, w *float64) {
	if w != nil {
		e.number(field, *w, -MaxWeight, MaxWeight)
	}
}

func (e *FieldErrors) number(field string, x, low, high float64) {
	if math.IsNaN(x) || x < low || x > high {
		e.add(ErrConfig, field, "is %v; it must be a number between %v and %v", x, low, high)
	}
}

func (e *FieldErrors) between(field string, n, low, high int) {
	if n < low || n > high {
		e.add(ErrConfig, field, "is %d; it must be between %d and %d", n, max(low, 1), high)
	}
}

func (e *FieldErrors) text(field, s string) {
	const most = 4096
	switch {
	case len(s) > most:
		e.add(ErrConfig, field, "has %d bytes; at most %d are possible", len(s), most)
	case !utf8.ValidString(s):
		e.add(ErrConfig, field, "is not valid UTF-8; save the text as UTF-8")
	case strings.ContainsRune(s, 0):
		e.add(ErrConfig, field, "holds a NUL byte")
	}
}
