package request

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
)

// setField converts a decoded TOML or JSON value; it returns what is wrong, or "".
func setField(f reflect.Value, value any) string {
	mismatch := fmt.Sprintf("is %s; expected %s", kindOf(value), article(typeName(f.Type())))
	switch dst := f.Addr().Interface().(type) {
	case *Picture:
		s, ok := value.(string)
		if !ok {
			return mismatch
		}
		p, err := parsePicture(s)
		if err != nil {
			return err.Error()
		}
		*dst = p
	case *Array:
		s, ok := value.(string)
		if !ok {
			return mismatch
		}
		*dst = Array{Path: s}
	case *Size:
		a, ok := pair(value)
		if !ok {
			return mismatch
		}
		*dst = Size{Height: a[0], Width: a[1]}
	case *Point:
		a, ok := pair(value)
		if !ok {
			return mismatch
		}
		*dst = Point{Top: a[0], Left: a[1]}
	case **bool:
		b, ok := value.(bool)
		if !ok {
			return mismatch
		}
		*dst = &b
	case **float64:
		x, ok := number(value)
		if !ok {
			return mismatch
		}
		*dst = &x
	case *map[string]float64:
		m, ok := value.(map[string]any)
		if !ok {
			return mismatch
		}
		*dst = map[string]float64{}
		if err := numbersInto(*dst, m, ""); err != "" {
			return err
		}
	case *[]string:
		list, ok := value.([]any)
		if !ok {
			return mismatch
		}
		*dst = nil
		for _, item := range list {
			s, ok := item.(string)
			if !ok {
				return mismatch
			}
			*dst = append(*dst, s)
		}
	case *map[string]any:
		m, ok := value.(map[string]any)
		if !ok {
			return mismatch
		}
		*dst = plainNumbers(m)
	default:
		return setScalar(f, value, mismatch)
	}
	return ""
}

// numbersInto collects the numbers of a table. Dots of a key written without quotes make TOML tables, which are joined again.
func numbersInto(dst map[string]float64, m map[string]any, prefix string) string {
	for _, key := range sortedKeys(m) {
		if inner, ok := m[key].(map[string]any); ok {
			if err := numbersInto(dst, inner, prefix+key+"."); err != "" {
				return err
			}
			continue
		}
		x, ok := number(m[key])
		if !ok {
			return fmt.Sprintf("%s is %s; expected a number", prefix+key, kindOf(m[key]))
		}
		dst[prefix+key] = x
	}
	return ""
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

func setScalar(f reflect.Value, value any, mismatch string) string {
	switch f.Kind() {
	case reflect.String:
		s, ok := value.(string)
		if !ok {
			return mismatch
		}
		f.SetString(s)
	case reflect.Int, reflect.Int64:
		n, ok := integer(value)
		if !ok {
			return mismatch
		}
		f.SetInt(n)
	case reflect.Float64:
		x, ok := number(value)
		if !ok {
			return mismatch
		}
		f.SetFloat(x)
	case reflect.Bool:
		b, ok := value.(bool)
		if !ok {
			return mismatch
		}
		f.SetBool(b)
	default:
		return mismatch
	}
	return ""
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

// plainNumbers replaces json.Number by int64 or float64, as the TOML library yields them.
func plainNumbers(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		switch v := v.(type) {
		case json.Number:
			if n, ok := integer(v); ok {
				out[k] = n
			} else if x, ok := number(v); ok {
				out[k] = x
			} else {
				out[k] = v.String()
			}
		default:
			out[k] = v
		}
	}
	return out
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
