package scheduler

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
)

// option is one field of Config by its diffusers name.
type option struct {
	name  string
	index int
}

// optionList holds every option in the order of Config; optionIndex finds one by name.
var optionList, optionIndex = func() ([]option, map[string]int) {
	t := reflect.TypeFor[Config]()
	list, index := make([]option, 0, t.NumField()), map[string]int{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		index[name] = len(list)
		list = append(list, option{name, i})
	}
	return list, index
}()

// OptionNames returns the names of every option that any scheduler has, as in diffusers.
func OptionNames() []string {
	names := make([]string, len(optionList))
	for i, o := range optionList {
		names[i] = o.name
	}
	return names
}

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
	v := reflect.ValueOf(c).Elem()
	var names []string
	for _, o := range optionList {
		if !v.Field(o.index).IsZero() {
			names = append(names, o.name)
		}
	}
	return names
}

// clear unsets an option.
func (c *Config) clear(name string) {
	f := reflect.ValueOf(c).Elem().Field(optionList[optionIndex[name]].index)
	f.SetZero()
}

// value returns what an option is set to, without its pointer; nil when it is not set.
func (c *Config) value(name string) any {
	f := reflect.ValueOf(c).Elem().Field(optionList[optionIndex[name]].index)
	if f.IsZero() {
		return nil
	}
	if f.Kind() == reflect.Pointer {
		f = f.Elem()
	}
	return f.Interface()
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

// numeric ranges by option name; lo and hi are inclusive unless open.
type numRange struct {
	lo, hi         float64
	openLo, openHi bool
}

var inf = math.Inf(1)

var numRanges = map[string]numRange{
	"num_train_timesteps":        {lo: 2, hi: 100000},
	"beta_start":                 {lo: 0, hi: 1, openLo: true, openHi: true},
	"beta_end":                   {lo: 0, hi: 1, openLo: true, openHi: true},
	"steps_offset":               {lo: 0, hi: 100000},
	"sigma_min":                  {lo: 0, hi: inf, openLo: true, openHi: true},
	"sigma_max":                  {lo: 0, hi: inf, openLo: true, openHi: true},
	"original_inference_steps":   {lo: 1, hi: 100000},
	"flow_shift":                 {lo: 0, hi: inf, openLo: true, openHi: true},
	"shift_terminal":             {lo: 0, hi: 1, openLo: true, openHi: true},
	"timestep_scaling":           {lo: 0, hi: inf, openLo: true, openHi: true},
	"lambda_min_clipped":         {lo: -inf, hi: inf, openHi: true},
	"rho":                        {lo: 0, hi: inf, openLo: true, openHi: true},
	"sigma_data":                 {lo: 0, hi: inf, openLo: true, openHi: true},
	"solver_order":               {lo: 1, hi: 4},
	"predictor_order":            {lo: 1, hi: 4},
	"corrector_order":            {lo: 0, hi: 4},
	"tau":                        {lo: 0, hi: 10},
	"tau_start":                  {lo: 0, hi: 100000},
	"tau_end":                    {lo: 0, hi: 100000},
	"lms_order":                  {lo: 1, hi: 4},
	"clip_sample_range":          {lo: 0, hi: inf, openLo: true, openHi: true},
	"dynamic_thresholding_ratio": {lo: 0, hi: 1},
	"sample_max_value":           {lo: 1, hi: inf, openHi: true},
	"s_churn":                    {lo: 0, hi: inf, openHi: true},
	"s_tmin":                     {lo: 0, hi: inf, openHi: true},
	"s_tmax":                     {lo: 0, hi: inf},
	"s_noise":                    {lo: 0, hi: inf, openHi: true},
	"eta":                        {lo: 0, hi: 1},
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
	for _, o := range optionList {
		v := c.value(o.name)
		if v == nil {
			continue
		}
		if err := a.validateOption(o.name, v); err != nil {
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
		if allowed := a.values[name]; !slices.Contains(allowed, x) {
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
	r, ok := numRanges[name]
	if own, has := a.ranges[name]; has {
		r, ok = own, true
	}
	if ok && !r.has(x) {
		return a.bad(name, fmt.Sprint(x), "it must be in "+r.String())
	}
	if !ok && (math.IsNaN(x) || math.IsInf(x, 0)) {
		return a.bad(name, fmt.Sprint(x), "it must be a finite number")
	}
	return nil
}

func (a *algorithm) bad(name, found, want string) error {
	return &OptionError{Scheduler: a.name, Option: name, Found: found, Want: want}
}

func quoteList(words []string) string {
	q := make([]string, len(words))
	for i, w := range words {
		q[i] = fmt.Sprintf("%q", w)
	}
	return strings.Join(q, ", ")
}
