package request

import (
	"reflect"
	"strings"
)

// Key describes one key of a run file.
type Key struct {
	Table   string // "" for top level and [[job]], "model" for [model], "lora" for [[lora]], "model.lora_cache" for [model.lora_cache]
	Name    string // "guidance_scale"
	Type    string // "string", "integer", "number", "boolean", "list of strings", "path", "[height, width]", "[top, left]", "table", "list of tables"
	Default string // in words; "" where there is none
	Doc     string // one clause
}

// Keys lists every key a run file may have, in the order of the structs: first those of a job, which
// may also stand at top level as defaults for all jobs, then those of [model]. Those of a table within either follow it.
func Keys() []Key {
	return append(keysOf("", reflect.TypeFor[Request]()), keysOf("model", reflect.TypeFor[Model]())...)
}

func keysOf(table string, t reflect.Type) []Key {
	var keys, inner []Key
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("key")
		if name == "" {
			continue
		}
		keys = append(keys, Key{table, name, typeName(f.Type), f.Tag.Get("default"), f.Tag.Get("doc")})
		if isTable(f.Type) {
			inner = append(inner, keysOf(strings.TrimPrefix(table+"."+name, "."), f.Type)...)
		} else if isTables(f.Type) {
			inner = append(inner, keysOf(strings.TrimPrefix(table+"."+name, "."), f.Type.Elem())...)
		}
	}
	return append(keys, inner...)
}

// isTable reports whether a field is a table with keys of its own.
func isTable(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("key") != "" {
			return true
		}
	}
	return false
}

// isTables reports whether a field is an array of such tables.
func isTables(t reflect.Type) bool { return t.Kind() == reflect.Slice && isTable(t.Elem()) }

func typeName(t reflect.Type) string {
	switch {
	case isTable(t):
		return "table"
	case isTables(t):
		return "list of tables"
	}
	switch t {
	case reflect.TypeFor[Size]():
		return "[height, width]"
	case reflect.TypeFor[Point]():
		return "[top, left]"
	case reflect.TypeFor[Picture](), reflect.TypeFor[Array]():
		return "path"
	case reflect.TypeFor[[]string]():
		return "list of strings"
	case reflect.TypeFor[map[string]any](), reflect.TypeFor[map[string]float64]():
		return "table"
	case reflect.TypeFor[*float64]():
		return "number"
	case reflect.TypeFor[*bool](), reflect.TypeFor[bool]():
		return "boolean"
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		return "integer"
	case reflect.Float64:
		return "number"
	}
	return "string"
}
