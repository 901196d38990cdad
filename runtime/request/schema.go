package request

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
)

// schemaID names the JSON Schema of run files.
const schemaID = "https://github.com/daguerre-go/daguerre/request.schema.json"

// Schema returns the JSON Schema (draft 2020-12) of run files in JSON, with this package's keys in the given casing. It
// knows types, words and ranges; what one key demands of another is Validate's.
func Schema(c Casing) ([]byte, error) {
	s := schemas{c}
	top := s.object("", reflect.TypeFor[Request]())
	properties := top["properties"].(map[string]any)
	properties[c.Key("model")] = map[string]any{"description": "the model's table, or its path",
		"anyOf": []any{typed("string"), ref("model")}}
	jobs := map[string]any{"description": "jobs; what stands beside them is their default", "type": "array", "items": ref("job")}
	properties[c.Key("jobs")], properties[c.Key("job")] = jobs, jobs
	top["$schema"], top["$id"], top["title"] = "https://json-schema.org/draft/2020-12/schema", schemaID, "daguerre run file"
	top["$defs"] = map[string]any{"job": s.object("", reflect.TypeFor[Request]()), "model": s.object("model", reflect.TypeFor[Model]())}
	return json.MarshalIndent(top, "", "  ")
}

// schemas builds schemas of structs with key tags.
type schemas struct{ casing Casing }

func ref(name string) map[string]any { return map[string]any{"$ref": "#/$defs/" + name} }

// object is the schema of a struct; table is its name as Key.Table has it.
func (s schemas) object(table string, t reflect.Type) map[string]any {
	properties := map[string]any{}
	for _, f := range fieldsOf(t) {
		path := join(table, f.name)
		p := s.property(path, f)
		p["description"] = describe(f.about(path), f.def, p)
		properties[s.casing.Key(f.name)] = p
		if f.alias != "" {
			properties[s.casing.Key(f.alias)] = p
		}
	}
	return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
}

// describe is a key's text; a default that is a value, and not told in words, becomes the schema's own.
func describe(doc, def string, p map[string]any) string {
	if def == "" {
		return doc
	}
	words, _ := p["enum"].([]string)
	var value any
	switch {
	case slices.Contains(words, def):
		p["default"] = def
	case p["type"] != "string" && json.Unmarshal([]byte(def), &value) == nil:
		p["default"] = value
	default:
		return doc + "; default: " + def
	}
	return doc
}

// property is the schema of a field.
func (s schemas) property(path string, f field) map[string]any {
	switch {
	case f.table:
		return s.object(path, f.typ)
	case f.tables:
		return map[string]any{"type": "array", "items": s.object(path, f.typ.Elem())}
	}
	p := maps.Clone(kindFor(f.typ).schema)
	if words := wordsOf(path); words != nil {
		p["enum"] = words
	}
	if l, ok := limitOf(path); ok {
		p["minimum"], p["maximum"] = l.min, l.max
		if l.multiple > 0 {
			p["multipleOf"] = l.multiple
		}
	}
	return p
}
