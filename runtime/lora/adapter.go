package lora

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Limits of an Adapter's numbers. Weights beyond them make noise, not pictures.
const (
	MaxWeight = 100.0
	// DefaultMaxAdapters is Stack.MaxAdapters' default.
	DefaultMaxAdapters = 8
)

// Adapter is one entry of a Stack. Its zero value has weight 0 and is disabled; start from NewAdapter.
type Adapter struct {
	Name          string  // what it is called and, without a Path, looked up by
	Path          string  // of the file; has precedence over looking up Name
	Weight        float64 // 1: as trained
	ScalingFactor float64 // multiplies Weight
	Enabled       bool    // a disabled entry is kept and takes no part

	UNetWeight        *float64           // instead of Weight for the UNet
	TextEncoderWeight *float64           // instead of Weight for the text encoders
	BlockWeights      map[string]float64 // multiply: "IN04", "M00", "OUT02", "BASE", or "down_blocks.1.attentions.0"

	Start, End float64 // the fraction of the denoising steps in which it takes part, [Start, End)
}

// NewAdapter returns an enabled entry of weight 1 for all steps.
func NewAdapter(name string) Adapter {
	return Adapter{Name: name, Weight: 1, ScalingFactor: 1, Enabled: true, End: 1}
}

// Label is how the adapter is called in a stack: its name, else its file's.
func (a Adapter) Label() string {
	if a.Name != "" {
		return a.Name
	}
	return Name(a.Path)
}

// Stack is an ordered set of adapters with what they have in common. The effective weight of a target is
// weight x scaling factor x global weight x global scaling factor x block weight.
type Stack struct {
	Adapters            []Adapter
	MaxAdapters         int     // enabled ones; 0: DefaultMaxAdapters
	GlobalWeight        float64 // 1: as they are
	GlobalScalingFactor float64
	Strict              bool // an adapter that applies in part only is an error
}

// NewStack returns a stack whose globals are 1.
func NewStack(adapters ...Adapter) Stack {
	return Stack{Adapters: adapters, MaxAdapters: DefaultMaxAdapters, GlobalWeight: 1, GlobalScalingFactor: 1}
}

// Enabled lists the entries that take part.
func (s Stack) Enabled() []Adapter {
	return slices.DeleteFunc(slices.Clone(s.Adapters), func(a Adapter) bool { return !a.Enabled })
}

// Update changes one adapter, which f is given a copy of; copies of the stack made before keep theirs. Its name and path cannot be
// changed. An adapter that is not in the stack is ErrNotFound; values that do not validate change nothing.
func (s *Stack) Update(name string, f func(*Adapter)) error {
	i := slices.IndexFunc(s.Adapters, func(x Adapter) bool { return strings.EqualFold(x.Label(), name) })
	if i < 0 {
		return &Error{Kind: ErrNotFound, Adapter: name, Message: "is not in the stack; there are " + s.labels()}
	}
	changed := s.Adapters[i]
	f(&changed)
	changed.Name, changed.Path = s.Adapters[i].Name, s.Adapters[i].Path
	var errs FieldErrors
	changed.validate(&errs, func(key string) string { return changed.Label() + "." + key })
	if err := errs.err(); err != nil {
		return err
	}
	s.Adapters = slices.Clone(s.Adapters)
	s.Adapters[i] = changed
	return nil
}

func (s Stack) labels() string {
	names := make([]string, len(s.Adapters))
	for i, x := range s.Adapters {
		names[i] = x.Label()
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Validate checks every field of the stack and returns all that is wrong as FieldErrors, or nil. Disabled entries are
// checked too, but do not count towards the limit.
func (s Stack) Validate() error {
	var errs FieldErrors
	most := s.MaxAdapters
	if most < 0 || most > 64 {
		errs.add(ErrConfig, "lora_stack.max_adapters", "is %d; it must be between 1 and 64, or 0 for %d", most, DefaultMaxAdapters)
	}
	if most <= 0 {
		most = DefaultMaxAdapters
	}
	number(&errs, "lora_stack.global_weight", s.GlobalWeight, -MaxWeight, MaxWeight)
	number(&errs, "lora_stack.global_scaling_factor", s.GlobalScalingFactor, -MaxWeight, MaxWeight)
	seen := map[string]int{}
	for i, a := range s.Adapters {
		field := func(key string) string { return fmt.Sprintf("lora[%d].%s", i, key) }
		a.validate(&errs, field)
		if label := strings.ToLower(a.Label()); label != "" {
			if first, twice := seen[label]; twice {
				errs.add(ErrConfig, field("name"), "%q is in the stack already, as lora[%d]; give one entry with the sum of the weights", a.Label(), first)
			} else {
				seen[label] = i
			}
		}
	}
	if n := len(s.Enabled()); n > most {
		errs.add(ErrLimit, "lora_stack.max_adapters", "%d adapters are enabled, at most %d may be; disable some or raise max_adapters", n, most)
	}
	return errs.err()
}

func (a Adapter) validate(errs *FieldErrors, field func(string) string) {
	if strings.TrimSpace(a.Name) == "" && strings.TrimSpace(a.Path) == "" {
		errs.add(ErrConfig, field("name"), "is missing; give the adapter's name or path")
	}
	if strings.ContainsRune(a.Name, 0) || strings.ContainsRune(a.Path, 0) {
		errs.add(ErrConfig, field("path"), "holds a NUL byte")
	}
	number(errs, field("weight"), a.Weight, -MaxWeight, MaxWeight)
	number(errs, field("scaling_factor"), a.ScalingFactor, -MaxWeight, MaxWeight)
	for key, w := range map[string]*float64{"unet_weight": a.UNetWeight, "text_encoder_weight": a.TextEncoderWeight} {
		if w != nil {
			number(errs, field(key), *w, -MaxWeight, MaxWeight)
		}
	}
	for _, key := range sortedKeys(a.BlockWeights) {
		if !blockKey.MatchString(key) {
			errs.add(ErrConfig, field("block_weights."+key), "is no block; expected BASE, IN00 ... IN11, M00, OUT00 ... OUT11, or a path such as down_blocks.1.attentions.0")
			continue
		}
		number(errs, field("block_weights."+key), a.BlockWeights[key], -MaxWeight, MaxWeight)
	}
	number(errs, field("start"), a.Start, 0, 1)
	number(errs, field("end"), a.End, 0, 1)
	if a.Start >= a.End {
		errs.add(ErrConfig, field("start"), "is %v, not before end, which is %v: the adapter would never take part", a.Start, a.End)
	}
}

func number(errs *FieldErrors, field string, x, low, high float64) {
	if math.IsNaN(x) || math.IsInf(x, 0) || x < low || x > high {
		errs.add(ErrConfig, field, "is %v; it must be a number between %v and %v", x, low, high)
	}
}

func sortedKeys(m map[string]float64) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// ActiveAt reports whether the adapter takes part in a step (from 0) of so many.
func (a Adapter) ActiveAt(step, steps int) bool {
	at := float64(step) / float64(max(steps, 1))
	return a.Enabled && at >= a.Start && at < a.End
}

// weightOf is the adapter's own weight for a component, without the stack's globals and block weights.
func (a Adapter) weightOf(component string) float64 {
	w := a.Weight
	switch {
	case component == componentUNet && a.UNetWeight != nil:
		w = *a.UNetWeight
	case component != componentUNet && a.TextEncoderWeight != nil:
		w = *a.TextEncoderWeight
	}
	return w * a.ScalingFactor
}

// EffectiveWeight is what multiplies the adapter's change of a component ("unet", "text_encoder", "text_encoder_2"), before
// block weights. It is 0 for a disabled entry.
func (s Stack) EffectiveWeight(a Adapter, component string) float64 {
	if !a.Enabled {
		return 0
	}
	return a.weightOf(component) * s.GlobalWeight * s.GlobalScalingFactor
}

// Weights returns the effective weight of each of an adapter's targets at a step of so many, and whether any is not zero.
func (s Stack) Weights(a Adapter, targets []TargetInfo, step, steps int) (weights []float32, active bool) {
	weights = make([]float32, len(targets))
	if !a.ActiveAt(step, steps) {
		return weights, false
	}
	unet, text := s.EffectiveWeight(a, componentUNet), s.EffectiveWeight(a, componentText)
	for i, t := range targets {
		w := text
		if strings.HasPrefix(t.Module, componentUNet+".") {
			w = unet
		}
		weights[i] = float32(w * blockWeight(a.BlockWeights, t.Module, t.Block))
		active = active || weights[i] != 0
	}
	return weights, active
}

// checkBlocks refuses block weights that match none of the model's modules.
func (a Adapter) checkBlocks(m *Model) error {
	for _, key := range sortedKeys(a.BlockWeights) {
		used := false
		for name, block := range m.index.blocks {
			if blockWeight(map[string]float64{key: 2}, name, block) == 2 {
				used = true
				break
			}
		}
		if !used {
			return &Error{Kind: ErrConfig, Adapter: a.Label(), Field: "block_weights." + key, Message: "the model has no such block"}
		}
	}
	return nil
}

// Resident is an adapter in a model's memory, held for a caller.
type Resident struct {
	LoRA    backend.LoRA
	Targets []TargetInfo // in the order of the weights
	Report  Report

	key     cacheKey
	release func()
}

// Release gives the adapter back to its cache; it may be called again.
func (r *Resident) Release() { r.release() }
