package scheduler

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
)

// optionNames holds every option in the order of Config; optionIndex is the field of each.
var optionNames, optionIndex = func() (names []string, index map[string]int) {
	index = map[string]int{}
	for f := range reflect.TypeFor[Config]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names, index[name] = append(names, name), f.Index[0]
	}
	return names, index
}()

// OptionNames returns the names of every option that any scheduler has, as in diffusers.
func OptionNames() []string { return slices.Clone(optionNames) }

// Clone returns a deep copy.
func (c Config) Clone() Config {
	v := reflect.ValueOf(&c).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		switch {
		case f.Kind() == reflect.Pointer && !f.IsNil():
			p := reflect.New(f.Type().Elem())
			p.Elem().Set(f.Elem())
			f.Set(p)
		case f.Kind() == reflect.Slice && !f.IsNil():
			s := reflect.MakeSlice(f.Type(), f.Len(), f.Len())
			reflect.Copy(s, f)
			f.Set(s)
		}
	}
	return c
}

// With returns a copy of c in which every option that over sets is taken from over.
func (c Config) With(over Config) Config {
	out, o := c.Clone(), over.Clone()
	dst, src := reflect.ValueOf(&out).Elem(), reflect.ValueOf(&o).Elem()
	for i := range src.NumField() {
		if !src.Field(i).IsZero() {
			dst.Field(i).Set(src.Field(i))
		}
	}
	return out
}

// set returns the names of the options that c sets.
func (c *Config) set() []string {
	return slices.DeleteFunc(OptionNames(), func(name string) bool { return c.field(name).IsZero() })
}

// field is the field of an option.
func (c *Config) field(name string) reflect.Value {
	return reflect.ValueOf(c).Elem().Field(optionIndex[name])
}

// value returns what an option is set to, without its pointer; nil when it is not set.
func (c *Config) value(name string) any {
	f := c.field(name)
	if f.IsZero() {
		return nil
	}
	return reflect.Indirect(f).Interface()
}

// firstOn returns the first of some options that is true, "" where none is.
func (c *Config) firstOn(names ...string) string {
	for _, name := range names {
		if c.value(name) == true {
			return name
		}
	}
	return ""
}

// OptionError is a bad option: which, what was found, and what would be right.
type OptionError struct {
	Scheduler string // class name; empty when no scheduler is involved yet
	Option    string
	Found     string
	Want      string
}

// Error puts the three into a sentence.
func (e *OptionError) Error() string {
	who := ""
	if e.Scheduler != "" {
		who = e.Scheduler + ": "
	}
	return fmt.Sprintf("scheduler: %s%s is %s; %s", who, e.Option, e.Found, e.Want)
}

// numRange is a range of numbers; its ends are in it unless open.
type numRange struct {
	lo, hi         float64
	openLo, openHi bool
}

// UnmarshalText reads "[0, 1)": a round bracket is an open end.
func (r *numRange) UnmarshalText(text []byte) error {
	var from, to rune
	_, err := fmt.Sscanf(string(text), "%c%g, %g%c", &from, &r.lo, &r.hi, &to)
	r.openLo, r.openHi = from == '(', to == ')'
	return err
}

// has tells whether x is in the range; NaN never is.
func (r numRange) has(x float64) bool {
	return (x > r.lo || x == r.lo && !r.openLo) && (x < r.hi || x == r.hi && !r.openHi)
}

func (r numRange) String() string {
	lo, hi := "[", "]"
	if r.openLo {
		lo = "("
	}
	if r.openHi || math.IsInf(r.hi, 0) {
		hi = ")"
	}
	if math.IsInf(r.lo, 0) {
		lo = "("
	}
	return fmt.Sprintf("%s%g, %g%s", lo, r.lo, r.hi, hi)
}

// spacings are the options that replace the default spacing of noise levels; one at most may be true.
var spacings = []string{"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas"}

// validate checks what can be checked for a resolved config: ranges, allowed words, combinations.
func (a *algorithm) validate(c *Config) error {
	for _, name := range optionNames {
		if err := a.validateOption(name, c.value(name)); err != nil {
			return err
		}
	}
	if lo, hi := val(c.BetaStart), val(c.BetaEnd); c.TrainedBetas == nil && lo > hi {
		return a.bad("beta_end", fmt.Sprint(hi), fmt.Sprintf("it must not be below beta_start (%g)", lo))
	}
	if c.SigmaMin != nil && c.SigmaMax != nil && *c.SigmaMin >= *c.SigmaMax {
		return a.bad("sigma_min", fmt.Sprint(*c.SigmaMin), fmt.Sprintf("it must be below sigma_max (%g)", *c.SigmaMax))
	}
	var on []string
	for _, s := range spacings {
		if v, _ := c.value(s).(bool); v {
			on = append(on, s)
		}
	}
	if len(on) > 1 {
		return a.bad(on[1], "true", "only one of "+strings.Join(on, " and ")+" can be on")
	}
	if a.check != nil {
		if err := a.check(a, c); err != nil {
			return err
		}
	}
	return a.checkFlow(c)
}

func (a *algorithm) validateOption(name string, v any) error {
	switch x := v.(type) {
	case string:
		if allowed := a.words(name); !slices.Contains(allowed, x) {
			return a.bad(name, fmt.Sprintf("%q", x), "it must be one of "+quoteList(allowed))
		}
	case int:
		return a.validateNumber(name, float64(x))
	case float64:
		return a.validateNumber(name, x)
	case []float64:
		if len(x) < 2 {
			return a.bad(name, fmt.Sprintf("a list of %d", len(x)), "give two values or more")
		}
		for i, b := range x {
			if !(b > 0 && b < 1) {
				return a.bad(fmt.Sprintf("%s[%d]", name, i), fmt.Sprint(b), "it must be in (0, 1)")
			}
		}
	case []int:
		for i, n := range x {
			if n < 0 {
				return a.bad(fmt.Sprintf("%s[%d]", name, i), fmt.Sprint(n), "it must not be negative")
			}
		}
	}
	return nil
}

func (a *algorithm) validateNumber(name string, x float64) error {
	r, ok := a.Ranges[name]
	if !ok {
		r, ok = described.Ranges[name]
	}
	switch {
	case ok && !r.has(x):
		return a.bad(name, fmt.Sprint(x), "it must be in "+r.String())
	case !ok && (math.IsNaN(x) || math.IsInf(x, 0)):
		return a.bad(name, fmt.Sprint(x), "it must be a finite number")
	}
	return nil
}

func (a *algorithm) bad(name, found, want string) error {
	return &OptionError{Scheduler: a.Name, Option: name, Found: found, Want: want}
}

func quoteList(words []string) string {
	q := make([]string, len(words))
	for i, w := range words {
		q[i] = fmt.Sprintf("%q", w)
	}
	return strings.Join(q, ", ")
}
