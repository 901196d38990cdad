package lora

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The limits of Options.MaxAdapters.
const (
	DefaultMaxAdapters = 8
	MaxAdapters        = 64
)

// Options are what the adapters of a picture have in common: the [lora_stack] table. The zero value of each field is its default.
type Options struct {
	MaxAdapters         int      `key:"max_adapters" default:"8" doc:"largest number of enabled adapters, 1 to 64"`
	GlobalWeight        *float64 `key:"global_weight" default:"1.0" doc:"multiplies every adapter's weight"`
	GlobalScalingFactor *float64 `key:"global_scaling_factor" default:"1.0" doc:"multiplies every weight once more"`
	Strict              bool     `key:"strict" default:"false" doc:"true: it is an error if some tensors of an adapter fit no part of the model"`
}

// Stack is the adapters of a picture, in order. The effective weight of a module is
// weight x scaling factor x global weight x global scaling factor x block weight.
type Stack struct {
	Adapters []Adapter
	Options
}

// Enabled lists the adapters that take part.
func (s Stack) Enabled() []Adapter {
	return slices.DeleteFunc(slices.Clone(s.Adapters), func(a Adapter) bool { return a.Enabled != nil && !*a.Enabled })
}

// EffectiveWeight is what multiplies the adapter's change of a component, before block weights. It is 0 for a disabled adapter.
func (s Stack) EffectiveWeight(a Adapter, component string) float64 {
	a = a.Filled()
	if !*a.Enabled {
		return 0
	}
	w := *a.TextEncoderWeight
	if component == UNet {
		w = *a.UNetWeight
	}
	return w * *a.ScalingFactor * *or(s.GlobalWeight, 1) * *or(s.GlobalScalingFactor, 1)
}

// Update changes one adapter. f is given a copy; copies of the stack made before keep theirs. The name and path cannot be changed. An
// adapter that is not in the stack is ErrNotFound. Values that do not validate change nothing.
func (s *Stack) Update(name string, f func(*Adapter)) error {
	i := slices.IndexFunc(s.Adapters, func(x Adapter) bool { return strings.EqualFold(x.Label(), name) })
	if i < 0 {
		return &Error{Kind: ErrNotFound, Adapter: name, Message: "is not in the stack; there are " + s.labels()}
	}
	changed := s.Adapters[i]
	for _, p := range []**float64{&changed.Weight, &changed.ScalingFactor, &changed.UNetWeight, &changed.TextEncoderWeight} {
		if *p != nil {
			*p = new(**p)
		}
	}
	changed.BlockWeights = maps.Clone(changed.BlockWeights)
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

// Validate checks every field of the stack and returns all that is wrong as FieldErrors, or nil. Disabled adapters are checked too, but
// do not count towards the limit.
func (s Stack) Validate() error {
	var errs FieldErrors
	seen := map[string]int{}
	for i, a := range s.Adapters {
		field := func(key string) string { return fmt.Sprintf("lora[%d].%s", i, key) }
		a.validate(&errs, field)
		label := strings.ToLower(a.Label())
		first, twice := seen[label]
		switch {
		case a.Name == "" && a.Path == "":
		case twice:
			errs.add(ErrConfig, field("name"), "%q is in the stack already, as lora[%d]; give one entry with the sum of the weights",
				a.Label(), first)
		default:
			seen[label] = i
		}
	}
	most := s.MaxAdapters
	if most < 0 || most > MaxAdapters {
		errs.add(ErrConfig, "lora_stack.max_adapters", "is %d; it must be between 1 and %d, or 0 for %d", most, MaxAdapters, DefaultMaxAdapters)
	}
	if most <= 0 {
		most = DefaultMaxAdapters
	}
	errs.weight("lora_stack.global_weight", s.GlobalWeight)
	errs.weight("lora_stack.global_scaling_factor", s.GlobalScalingFactor)
	if n := len(s.Enabled()); n > most {
		errs.add(ErrLimit, "lora_stack.max_adapters", "%d adapters are enabled, at most %d may be; disable some or raise max_adapters", n, most)
	}
	return errs.err()
}

func sortedKeys(m map[string]float64) []string { return slices.Sorted(maps.Keys(m)) }
