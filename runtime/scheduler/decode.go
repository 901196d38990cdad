package scheduler

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/words"
)

// ParseConfig reads a scheduler_config.json of a diffusers model. class is its "_class_name", or empty.
// Unknown keys are errors that name the nearest known one; keys that begin with "_" are diffusers' own and
// skipped, null means not set.
func ParseConfig(data []byte) (class string, cfg Config, err error) {
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(quoteInfinities(data)))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		return "", Config{}, fmt.Errorf("scheduler: the config is no JSON object: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return "", Config{}, fmt.Errorf("scheduler: the config goes on after its JSON object, at byte %d: remove the rest", d.InputOffset())
	}
	return ConfigFromMap(m)
}

// infinities matches Infinity, and also texts in quotes, so that those are skipped.
var infinities = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|-?Infinity`)

// quoteInfinities puts quotes round Infinity and -Infinity, which Python writes into JSON (lambda_min_clipped of
// DPM-Solvers is -Infinity by default) and Go refuses. Text in quotes is left alone.
func quoteInfinities(data []byte) []byte {
	return infinities.ReplaceAllFunc(data, func(found []byte) []byte {
		switch string(found) {
		case "-Infinity":
			return []byte(`"-inf"`)
		case "Infinity":
			return []byte(`"inf"`)
		}
		return found
	})
}

// MarshalJSON writes the options that are set, infinite ones as "inf" and "-inf", which ParseConfig and ConfigFromMap
// read again.
func (c Config) MarshalJSON() ([]byte, error) { return json.Marshal(c.Map()) }

// UnmarshalJSON reads what MarshalJSON wrote; see ParseConfig.
func (c *Config) UnmarshalJSON(data []byte) (err error) {
	_, *c, err = ParseConfig(data)
	return err
}

// Map returns the options that are set by their diffusers names; infinite ones as "inf" and "-inf".
func (c Config) Map() map[string]any {
	m := map[string]any{}
	for _, name := range c.set() {
		v := c.value(name)
		if f, ok := v.(float64); ok && math.IsInf(f, 0) {
			v = "inf"
			if f < 0 {
				v = "-inf"
			}
		}
		m[name] = v
	}
	return m
}

// ConfigFromMap makes a Config of decoded JSON or TOML: keys are diffusers' option names, values are
// bool, string, any integer or float type, json.Number, slices of those, or nil. See ParseConfig.
func ConfigFromMap(m map[string]any) (class string, cfg Config, err error) {
	for _, key := range slices.Sorted(maps.Keys(m)) { // so that the same mistake is always reported the same way
		if key == "_class_name" {
			class, _ = m[key].(string)
			continue
		}
		if strings.HasPrefix(key, "_") || m[key] == nil {
			continue
		}
		if _, known := optionIndex[key]; known {
			err = assign(cfg.field(key), key, m[key])
		} else {
			err = inertOption(key, m[key])
		}
		if err != nil {
			return "", Config{}, err
		}
	}
	return class, cfg, nil
}

// inertOptions are options of diffusers for pipelines that compute the shift of a flow from the picture's size
// (mu). SDXL's pipelines do not. The options are accepted with the values below: with these they do nothing.
var inertOptions = map[string]any{
	"use_dynamic_shifting": false,
	"time_shift_type":      "exponential",
}

func inertOption(key string, v any) error {
	want, ok := inertOptions[key]
	if !ok {
		return unknownOption(key)
	}
	got := v
	if f, isNum := toFloat(v); isNum {
		got = f
	}
	if got != want {
		return &OptionError{Option: key, Found: fmt.Sprint(v),
			Want: fmt.Sprintf("no mu is given here: leave it out or set it to %v, and flow_shift to exp(mu)", want)}
	}
	return nil
}

func unknownOption(key string) error {
	want := "it is no option of any scheduler"
	if near := words.Nearest(key, OptionNames()); near != "" {
		want += "; did you mean " + near + "?"
	}
	return &OptionError{Option: words.Clip(key), Found: "unknown", Want: want}
}

// assign stores a decoded value in a field of Config.
func assign(f reflect.Value, key string, v any) error {
	if f.Kind() == reflect.Slice {
		return assignSlice(f, key, v)
	}
	t := f.Type()
	if f.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	x, err := scalar(t.Kind(), key, v)
	if err != nil {
		return err
	}
	if f.Kind() == reflect.Pointer {
		f.Set(reflect.New(t))
	}
	reflect.Indirect(f).Set(x)
	return nil
}

func assignSlice(f reflect.Value, key string, v any) error {
	in := reflect.ValueOf(v)
	if in.Kind() != reflect.Slice {
		return &OptionError{Option: key, Found: describe(v), Want: "give a list of numbers"}
	}
	if in.Len() > maxInferenceSteps {
		return &OptionError{Option: key, Found: fmt.Sprintf("a list of %d", in.Len()),
			Want: fmt.Sprintf("give %d values at most", maxInferenceSteps)}
	}
	out := reflect.MakeSlice(f.Type(), 0, in.Len())
	for i := range in.Len() {
		x, err := scalar(f.Type().Elem().Kind(), fmt.Sprintf("%s[%d]", key, i), in.Index(i).Interface())
		if err != nil {
			return err
		}
		out = reflect.Append(out, x)
	}
	f.Set(out)
	return nil
}

// scalar converts a decoded value to a bool, string, int or float64.
func scalar(kind reflect.Kind, key string, v any) (reflect.Value, error) {
	bad := func(want string) (reflect.Value, error) {
		return reflect.Value{}, &OptionError{Option: key, Found: describe(v), Want: want}
	}
	switch kind {
	case reflect.Bool:
		if b, ok := v.(bool); ok {
			return reflect.ValueOf(b), nil
		}
		return bad("give true or false")
	case reflect.String:
		if s, ok := v.(string); ok && s != "" {
			return reflect.ValueOf(s), nil
		}
		return bad("give a word in quotes")
	case reflect.Int:
		x, ok := toFloat(v)
		if !ok || x != math.Trunc(x) || math.Abs(x) > 1<<31 {
			return bad("give a whole number")
		}
		return reflect.ValueOf(int(x)), nil
	default:
		x, ok := toFloat(v)
		switch {
		case v == "inf":
			x = math.Inf(1)
		case v == "-inf":
			x = math.Inf(-1)
		case !ok:
			return bad("give a number")
		}
		return reflect.ValueOf(x), nil
	}
}

func toFloat(v any) (float64, bool) {
	switch x := v.(type) {
	case json.Number:
		f, err := x.Float64()
		return f, err == nil
	case bool, string, nil:
		return 0, false
	}
	r := reflect.ValueOf(v)
	switch {
	case r.CanInt():
		return float64(r.Int()), true
	case r.CanUint():
		return float64(r.Uint()), true
	case r.CanFloat():
		return r.Float(), true
	}
	return 0, false
}

// describe shows a decoded value in a message.
func describe(v any) string {
	switch x := v.(type) {
	case string:
		return fmt.Sprintf("the text %q", words.Clip(x))
	case json.Number:
		return words.Clip(x.String())
	case map[string]any:
		return "a table"
	}
	if reflect.ValueOf(v).Kind() == reflect.Slice {
		return "a list"
	}
	return words.Clip(fmt.Sprint(v))
}
