package request

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/lora"
)

// kind is how the values of a Go type are written in run files.
type kind struct {
	name   string                             // in messages and in Key.Type
	schema map[string]any                     // JSON Schema
	decode func(value any) (x any, err error) // of TOML or JSON; errKind where value is of another kind
	encode func(x any) (value any, problem string)
}

// errKind is a value of another kind than the one expected.
var errKind = errors.New("another kind of value")

// kinds lists the kinds of all fields but tables. A pointer is written as what it points to.
var kinds = map[reflect.Type]kind{
	reflect.TypeFor[string]():  {"string", typed("string"), as[string], asIs},
	reflect.TypeFor[bool]():    {"boolean", typed("boolean"), as[bool], asIs},
	reflect.TypeFor[int]():     {"integer", typed("integer"), converted(integer), func(x any) (any, string) { return int64(x.(int)), "" }},
	reflect.TypeFor[int64]():   {"integer", typed("integer"), decodeInteger, asIs},
	reflect.TypeFor[float64](): {"number", typed("number"), converted(number), encodeNumber},
	reflect.TypeFor[Size](): {"[height, width]", pairSchema(0), converted(func(value any) (Size, bool) {
		a, ok := pair(value)
		return Size{Height: a[0], Width: a[1]}, ok
	}), func(x any) (any, string) { return []any{int64(x.(Size).Height), int64(x.(Size).Width)}, "" }},
	reflect.TypeFor[Point](): {"[top, left]", pairSchema(-maxCoordinate), converted(func(value any) (Point, bool) {
		a, ok := pair(value)
		return Point{Top: a[0], Left: a[1]}, ok
	}), func(x any) (any, string) { return []any{int64(x.(Point).Top), int64(x.(Point).Left)}, "" }},
	reflect.TypeFor[[4]float64](): {"[left, top, right, bottom]", map[string]any{"type": "array", "minItems": 4, "maxItems": 4,
		"items": map[string]any{"type": "number", "minimum": 0, "maximum": MaxSide}}, converted(four), encodeFour},
	reflect.TypeFor[Picture](): {"path", typed("string"), decodePicture, func(x any) (any, string) {
		return inFile(x.(Picture).String(), "a picture in memory, which has no text; give its path or its file's bytes")
	}},
	reflect.TypeFor[[]Picture](): {"list of paths", map[string]any{"anyOf": []any{typed("string"), map[string]any{"type": "array",
		"items": typed("string")}}}, decodePictures, encodePictures},
	reflect.TypeFor[Array](): {"path", typed("string"), converted(func(value any) (Array, bool) {
		s, ok := value.(string)
		return Array{Path: s}, ok
	}), func(x any) (any, string) {
		return inFile(x.(Array).Path, "an array in memory, which has no text; give its path")
	}},
	reflect.TypeFor[[]string](): {"list of strings", map[string]any{"type": "array", "items": typed("string")}, converted(texts),
		func(x any) (any, string) { return slices.Clone(x.([]string)), "" }},
	reflect.TypeFor[[]int](): {"list of integers", map[string]any{"type": "array", "items": typed("integer")}, converted(integers),
		func(x any) (any, string) {
			var out []any
			for _, n := range x.([]int) {
				out = append(out, int64(n))
			}
			return out, ""
		}},
	reflect.TypeFor[map[string]any](): {"table", typed("object"), converted(plainNumbers),
		func(x any) (any, string) { return tableOf(x.(map[string]any)), "" }},
	reflect.TypeFor[map[string]float64](): {"table", map[string]any{"type": "object", "additionalProperties": map[string]any{
		"type": "number", "minimum": -lora.MaxWeight, "maximum": lora.MaxWeight}}, decodeNumbers,
		func(x any) (any, string) { return tableOf(x.(map[string]float64)), "" }},
}

// kindFor is the kind of a field's type.
func kindFor(t reflect.Type) kind {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return kinds[t]
}

func (f field) kindName() string {
	switch {
	case f.table:
		return "table"
	case f.tables:
		return "list of tables"
	}
	return kindFor(f.typ).name
}

// setField converts a decoded TOML or JSON value; it returns what is wrong, or "".
func setField(f reflect.Value, value any) string {
	k := kindFor(f.Type())
	x, err := k.decode(value)
	switch {
	case errors.Is(err, errKind):
		return fmt.Sprintf("is %s; expected %s", kindOf(value), article(k.name))
	case err != nil:
		return err.Error()
	}
	if f.Kind() == reflect.Pointer {
		f.Set(reflect.New(f.Type().Elem()))
		f = f.Elem()
	}
	f.Set(reflect.ValueOf(x).Convert(f.Type()))
	return ""
}

func typed(name string) map[string]any { return map[string]any{"type": name} }

func pairSchema(lowest int) map[string]any {
	return map[string]any{"type": "array", "minItems": 2, "maxItems": 2,
		"items": map[string]any{"type": "integer", "minimum": lowest, "maximum": maxCoordinate}}
}

// converted makes a kind's decode of a conversion that may fail.
func converted[T any](convert func(any) (T, bool)) func(any) (any, error) {
	return func(value any) (any, error) {
		if x, ok := convert(value); ok {
			return x, nil
		}
		return nil, errKind
	}
}

func as[T any](value any) (any, error) {
	return converted(func(value any) (T, bool) { x, ok := value.(T); return x, ok })(value)
}

func asIs(x any) (any, string) { return x, "" }

// inFile is a text that stands for a value of a file; what says what has none.
func inFile(text, what string) (any, string) {
	if text == "" {
		return nil, "is " + what
	}
	return text, ""
}

func encodeNumber(x any) (any, string) {
	if f := x.(float64); math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Sprintf("is %v; it must be a number", f)
	}
	return x, ""
}

func decodeInteger(value any) (any, error) {
	if n, ok := integer(value); ok {
		return n, nil
	}
	if text, ok := value.(json.Number); ok && !strings.ContainsAny(text.String(), ".eE") {
		return nil, fmt.Errorf("is %s; an integer must be between %d and %d", text, int64(math.MinInt64), int64(math.MaxInt64))
	}
	return nil, errKind
}

func decodePicture(value any) (any, error) {
	if s, ok := value.(string); ok {
		return parsePicture(s)
	}
	return nil, errKind
}

// decodePictures takes a list, or a single picture.
func decodePictures(value any) (any, error) {
	list, ok := texts(value)
	if s, single := value.(string); single {
		list, ok = []string{s}, true
	}
	if !ok {
		return nil, errKind
	}
	out := make([]Picture, len(list))
	for i, s := range list {
		var err error
		if out[i], err = parsePicture(s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func encodePictures(x any) (any, string) {
	var out []string
	for _, p := range x.([]Picture) {
		text, problem := inFile(p.String(), "a picture in memory, which has no text; give its path or its file's bytes")
		if problem != "" {
			return nil, problem
		}
		out = append(out, text.(string))
	}
	return out, ""
}

func decodeNumbers(value any) (any, error) {
	m, ok := value.(map[string]any)
	if !ok {
		return nil, errKind
	}
	out := map[string]float64{}
	return out, numbersInto(out, m, "")
}

// numbersInto collects the numbers of a table. Dots of a key written without quotes make TOML tables, which are joined again.
func numbersInto(dst map[string]float64, m map[string]any, prefix string) error {
	for _, key := range sortedKeys(m) {
		if inner, ok := m[key].(map[string]any); ok {
			if err := numbersInto(dst, inner, prefix+key+"."); err != nil {
				return err
			}
			continue
		}
		x, ok := number(m[key])
		if !ok {
			return fmt.Errorf("%s is %s; expected a number", prefix+key, kindOf(m[key]))
		}
		dst[prefix+key] = x
	}
	return nil
}

func article(noun string) string {
	switch noun[0] {
	case 'i':
		return "an " + noun
	case '[':
		return noun
	}
	return "a " + noun
}

func pair(value any) (out [2]int, ok bool) {
	list, isList := value.([]any)
	if !isList || len(list) != 2 {
		return out, false
	}
	for i, item := range list {
		n, isInt := integer(item)
		if !isInt || n != int64(int32(n)) {
			return out, false
		}
		out[i] = int(n)
	}
	return out, true
}

// four takes a list of four numbers.
func four(value any) (out [4]float64, ok bool) {
	list, isList := value.([]any)
	if !isList || len(list) != len(out) {
		return out, false
	}
	for i, item := range list {
		if out[i], ok = number(item); !ok {
			return out, false
		}
	}
	return out, true
}

func encodeFour(x any) (any, string) {
	var out []any
	for _, v := range x.([4]float64) {
		n, problem := encodeNumber(v)
		if problem != "" {
			return nil, problem
		}
		out = append(out, n)
	}
	return out, ""
}

// texts takes a list of strings; an empty list is nil.
func texts(value any) (out []string, ok bool) {
	list, ok := value.([]any)
	for _, item := range list {
		s, isText := item.(string)
		out, ok = append(out, s), ok && isText
	}
	return out, ok
}

// integers takes a list of integers; an empty list is nil.
func integers(value any) (out []int, ok bool) {
	list, ok := value.([]any)
	for _, item := range list {
		n, isInteger := integer(item)
		out, ok = append(out, int(n)), ok && isInteger
	}
	return out, ok
}

func integer(value any) (int64, bool) {
	switch v := value.(type) {
	case int64:
		return v, true
	case json.Number:
		n, err := strconv.ParseInt(v.String(), 10, 64)
		return n, err == nil
	}
	return 0, false
}

func number(value any) (float64, bool) {
	switch v := value.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	case json.Number:
		x, err := v.Float64()
		return x, err == nil
	}
	return math.NaN(), false
}

// plainNumbers takes a table and replaces json.Number by int64 or float64, as the TOML library yields them.
func plainNumbers(value any) (map[string]any, bool) {
	m, ok := value.(map[string]any)
	if !ok {
		return nil, false
	}
	out := maps.Clone(m)
	for k, v := range out {
		v, isNumber := v.(json.Number)
		if !isNumber {
			continue
		}
		if n, ok := integer(v); ok {
			out[k] = n
		} else if x, ok := number(v); ok {
			out[k] = x
		} else {
			out[k] = v.String()
		}
	}
	return out, true
}

// kindOf names a decoded value's type, with the value where it is short.
func kindOf(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case string:
		return "the string " + clip(v)
	case bool, int64, float64, json.Number:
		return fmt.Sprint(v)
	case map[string]any:
		return "a table"
	case []any, []map[string]any:
		return "an array"
	}
	return fmt.Sprintf("a %T", value)
}

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
