package request

import (
	_ "embed" // what the keys mean
	"encoding/json"
	"reflect"
	"sync"
)

// Key describes one key of a run file.
type Key struct {
	Table   string // "" for top level and [[job]], "model" for [model], "lora" for [[lora]], "model.lora_cache" for [model.lora_cache]
	Name    string // "guidance_scale"
	Type    string // as in messages: "string", "integer", "number", "boolean", "list of strings", "path", "[height, width]", "table", ...
	Default string // in words: the meaning of a missing key; "" if there is none
	Doc     string // what it means, in a few words
}

// Keys lists every key that a run file may have, in the order of the structs. First come the keys of a job, which may also stand at top
// level as defaults for all jobs, then those of [model]. The keys of a table within either follow it.
func Keys() []Key {
	return append(keysOf("", reflect.TypeFor[Request]()), keysOf("model", reflect.TypeFor[Model]())...)
}

func keysOf(table string, t reflect.Type) []Key {
	var keys, inner []Key
	for _, f := range fieldsOf(t) {
		path := join(table, f.name)
		keys = append(keys, Key{table, f.name, f.kindName(), f.def, f.about(path)})
		if f.table {
			inner = append(inner, keysOf(path, f.typ)...)
		} else if f.tables {
			inner = append(inner, keysOf(path, f.typ.Elem())...)
		}
	}
	return append(keys, inner...)
}

//go:embed keys.json
var keysJSON []byte

// rule is what keys.json says of a key: what it means, and what its value has to be.
type rule struct {
	Doc       string
	OneOf     string      `json:"one_of"` // a list of words
	Limit     string      // of a number: one of limits
	Range     *[2]float64 // of a number, where the limit is its own
	Is        string      // of a text: one of forms
	Elsewhere bool        // package lora checks the limit
}

// known is keys.json: the lists of words, and the keys by their paths.
var known = embedded[struct {
	Words map[string][]string
	Keys  map[string]rule
}]("keys.json", keysJSON)

func embedded[T any](name string, data []byte) (v T) {
	if err := json.Unmarshal(data, &v); err != nil {
		panic("request: embedded " + name + ": " + err.Error())
	}
	return v
}

// wordsOf lists the values of a key that takes one of a few words; nil for others.
func wordsOf(path string) []string { return known.Words[known.Keys[path].OneOf] }

// field is a field of a struct with key tags.
type field struct {
	index            int
	typ              reflect.Type
	name, alias, def string
	doc              string   // where it is not in keys.json
	folded           []string // name and alias
	table, tables    bool     // a table with keys of its own, an array of such
}

// about tells what a field at a path means.
func (f field) about(path string) string {
	if f.doc != "" {
		return f.doc
	}
	return known.Keys[path].Doc
}

// fieldsOf lists the fields of a struct with key tags, in order.
func fieldsOf(t reflect.Type) []field {
	if known, ok := knownFields.Load(t); ok {
		return known.([]field)
	}
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		if name := f.Tag.Get("key"); name != "" {
			alias := f.Tag.Get("alias")
			fields = append(fields, field{i, f.Type, name, alias, f.Tag.Get("default"), f.Tag.Get("doc"), []string{fold(name), fold(alias)},
				hasKeys(f.Type), f.Type.Kind() == reflect.Slice && hasKeys(f.Type.Elem())})
		}
	}
	knownFields.Store(t, fields)
	return fields
}

// knownFields holds what fieldsOf found, by type: every job that is decoded or checked asks for the same few.
var knownFields sync.Map

func hasKeys(t reflect.Type) bool { return t.Kind() == reflect.Struct && len(fieldsOf(t)) > 0 }
