package request

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// MaxFileBytes is the largest run file that is read: far above any real one, far below what would
// fill memory.
const MaxFileBytes = 8 << 20

// ReadFile reads a run file, JSON if its name ends in .json and TOML otherwise. Errors name the file;
// those of its contents are Errors. Paths in it are relative to the working directory, as on the command line.
func ReadFile(path string) (Run, error) {
	f, err := os.Open(path)
	if err != nil {
		return Run{}, fmt.Errorf("run file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return Run{}, fmt.Errorf("run file %s: %w", path, err)
	}
	decode := DecodeTOML
	if strings.EqualFold(filepath.Ext(path), ".json") {
		decode = DecodeJSON
	}
	run, err := decode(data)
	if err != nil {
		return Run{}, fmt.Errorf("run file %s: %w", path, err)
	}
	return run, nil
}

// DecodeTOML decodes a run file in TOML: top-level defaults, a [model] table (or model = "path") and
// [[job]] tables; without a [[job]] the top level is the one job. Unknown keys and wrong types are errors, all
// of them reported; values are not checked until Run.Validate.
func DecodeTOML(data []byte) (Run, error) {
	if err := checkSize(data); err != nil {
		return Run{}, err
	}
	var table map[string]any
	if err := toml.Unmarshal(data, &table); err != nil {
		var parse toml.ParseError
		if errors.As(err, &parse) {
			return Run{}, Errors{{Path: fmt.Sprintf("line %d", parse.Position.Line), Message: "not TOML: " + parse.Message}}
		}
		return Run{}, Errors{{Message: "not TOML: " + err.Error()}}
	}
	return decodeRun(table)
}

// DecodeJSON decodes a run file in JSON, of the same shape as the TOML one.
func DecodeJSON(data []byte) (Run, error) {
	if err := checkSize(data); err != nil {
		return Run{}, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var table map[string]any
	if err := d.Decode(&table); err != nil {
		return Run{}, Errors{{Path: fmt.Sprintf("byte %d", d.InputOffset()), Message: "not a JSON object: " + err.Error()}}
	}
	if _, err := d.Token(); err != io.EOF {
		return Run{}, Errors{{Path: fmt.Sprintf("byte %d", d.InputOffset()), Message: "something follows the JSON object; a run file is one object"}}
	}
	return decodeRun(table)
}

func checkSize(data []byte) error {
	if len(data) > MaxFileBytes {
		return Errors{{Message: fmt.Sprintf("a run file has at most %d MiB; this one is larger", MaxFileBytes>>20)}}
	}
	return nil
}

func decodeRun(table map[string]any) (Run, error) {
	var errs Errors
	var run Run
	switch model := table["model"].(type) {
	case nil:
	case string:
		run.Model.Model = model
	case map[string]any:
		decodeStruct(&run.Model, model, "model.", &errs)
	default:
		errs.Add("model", "is %s; write a [model] table or a path", kindOf(model))
	}
	defaults := Default()
	top := make(map[string]any, len(table))
	var jobs []map[string]any
	for key, value := range table {
		switch key {
		case "model":
		case "job", "jobs":
			jobs = append(jobs, tables(key, value, &errs)...)
		default:
			top[key] = value
		}
	}
	decodeStruct(&defaults, top, "", &errs)
	for i, job := range jobs {
		r := defaults
		given := decodeStruct(&r, job, fmt.Sprintf("jobs[%d].", i), &errs)
		run.Jobs, run.given = append(run.Jobs, r), append(run.given, given)
	}
	if len(jobs) == 0 {
		run.Jobs = []Request{defaults}
	}
	return run, errs.Err()
}

// tables takes value as an array of tables, in either form the TOML library yields, or JSON's.
func tables(key string, value any, errs *Errors) []map[string]any {
	switch v := value.(type) {
	case []map[string]any:
		return v
	case []any:
		out := make([]map[string]any, 0, len(v))
		for i, item := range v {
			m, ok := item.(map[string]any)
			if !ok {
				errs.Add(fmt.Sprintf("jobs[%d]", i), "is %s; a job is a table", kindOf(item))
				continue
			}
			out = append(out, m)
		}
		return out
	}
	errs.Add(key, "is %s; write [[job]] above each job", kindOf(value))
	return nil
}

// decodeStruct sets dst's fields (a pointer to a struct with key tags) from table and returns the keys it set.
func decodeStruct(dst any, table map[string]any, prefix string, errs *Errors) map[string]bool {
	v := reflect.ValueOf(dst).Elem()
	var names []string
	fields := map[string]int{}
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		if name := tag.Get("key"); name != "" {
			names = append(names, name)
			fields[name] = i
			if alias := tag.Get("alias"); alias != "" {
				fields[alias] = i
			}
		}
	}
	given := map[string]bool{}
	for _, key := range sortedKeys(table) {
		i, ok := fields[key]
		if !ok {
			errs.Add(prefix+key, "unknown key%s", hint(key, names))
			continue
		}
		name, before := v.Type().Field(i).Tag.Get("key"), len(*errs)
		if given[name] {
			errs.Add(prefix+key, "is given twice, also as %s", name)
			continue
		}
		switch f := v.Field(i); {
		case isTable(f.Type()):
			decodeTable(f, table[key], prefix+name, errs)
		case isTables(f.Type()):
			decodeTables(f, table[key], prefix+name, errs)
		default:
			if err := setField(f, table[key]); err != "" {
				errs.Add(prefix+key, "%s", err)
			}
		}
		given[name] = len(*errs) == before
	}
	if r, ok := dst.(*Request); ok && given["guidance_scale"] && r.GuidanceScale == 0 {
		r.GuidanceScale = NoGuidance // a written 0 is meant, unlike a zero field
	}
	return given
}

// decodeTable sets a struct from a table within a table.
func decodeTable(f reflect.Value, value any, path string, errs *Errors) {
	table, ok := value.(map[string]any)
	if !ok {
		errs.Add(path, "is %s; expected a table", kindOf(value))
		return
	}
	decodeStruct(f.Addr().Interface(), table, path+".", errs)
}

// decodeTables sets a slice of structs from an array of tables, in either form the TOML library yields, or JSON's.
func decodeTables(f reflect.Value, value any, path string, errs *Errors) {
	var items []any
	switch v := value.(type) {
	case []map[string]any:
		for _, item := range v {
			items = append(items, item)
		}
	case []any:
		items = v
	default:
		errs.Add(path, "is %s; write [[%s]] above each", kindOf(value), path)
		return
	}
	list := reflect.MakeSlice(f.Type(), len(items), len(items))
	for i, item := range items {
		decodeTable(list.Index(i), item, fmt.Sprintf("%s[%d]", path, i), errs)
	}
	f.Set(list)
}

// hint tells what an unknown key may have been meant to be: the nearest of names, or a key of another table.
func hint(key string, names []string) string {
	for _, k := range Keys() {
		if k.Name == key && (k.Table == "" || k.Table == "model") {
			if k.Table == "" {
				return "; it belongs to the top level or a [[job]]"
			}
			return fmt.Sprintf("; it belongs to [%s]", k.Table)
		}
	}
	if s := didYouMean(key, names); s != "" {
		return s
	}
	return "; see docs/configuration.md for the known ones"
}

// setField converts a decoded TOML or JSON value; it returns what is wrong, or "".
func setField(f reflect.Value, value any) string {
	mismatch := fmt.Sprintf("is %s; expected %s", kindOf(value), article(typeName(f.Type())))
	switch dst := f.Addr().Interface().(type) {
	case *Picture:
		s, ok := value.(string)
		if !ok {
			return mismatch
		}
		*dst = Picture{Path: s}
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
