package request

import "reflect"

// Key describes one key of a run file.
type Key struct {
	Table   string // "" for top level and [[job]], "model" for [model]
	Name    string // "guidance_scale"
	Type    string // "string", "integer", "number", "boolean", "list of strings", "path", "[height, width]", "[top, left]", "table"
	Default string // in words; "" where there is none
	Doc     string // one clause
}

// Keys lists every key a run file may have, in the order of the structs: first those of a job, which
// may also stand at top level as defaults for all jobs, then those of [model].
func Keys() []Key {
	return append(keysOf("", reflect.TypeFor[Request]()), keysOf("model", reflect.TypeFor[Model]())...)
}

func keysOf(table string, t reflect.Type) []Key {
	var keys []Key
	for i := range t.NumField() {
		f := t.Field(i)
		if name := f.Tag.Get("key"); name != "" {
			keys = append(keys, Key{table, name, typeName(f.Type), f.Tag.Get("default"), f.Tag.Get("doc")})
		}
	}
	return keys
}

func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Size]():
		return "[height, width]"
	case reflect.TypeFor[Point]():
		return "[top, left]"
	case reflect.TypeFor[Picture](), reflect.TypeFor[Array]():
		return "path"
	case reflect.TypeFor[[]string]():
		return "list of strings"
	case reflect.TypeFor[map[string]any]():
		return "table"
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
