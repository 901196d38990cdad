package request

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// document is a table in order.
type document []entry

// entry is a key with its value: a string, bool, int64, float64, []any or []string of these, document or []document.
type entry struct {
	key   string
	value any
}

// EncodeJSON writes a run as JSON that DecodeJSON reads back as the same: this package's keys in the given casing,
// without the values that are defaults. Pictures and arrays that are in memory only cannot be written and are an error.
func (r Run) EncodeJSON(c Casing) ([]byte, error) {
	doc, err := r.document("jobs")
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, c.JSON(data, "block_weights"), "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// EncodeTOML writes a run as a TOML run file that DecodeTOML reads back as the same; see EncodeJSON.
func (r Run) EncodeTOML() ([]byte, error) {
	doc, err := r.document("job")
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = doc.toml(&out, "")
	return bytes.TrimLeft(out.Bytes(), "\n"), err
}

// document lists what a run says. jobs is the key of several jobs; a single one is at the top.
func (r Run) document(jobs string) (document, error) {
	var doc document
	model, err := documentOf(reflect.ValueOf(r.Model), reflect.Value{}, "model.")
	if err != nil {
		return nil, err
	}
	if len(model) == 1 && model[0].key == "model" {
		doc = append(doc, entry{"model", r.Model.Model})
	} else if len(model) > 0 {
		doc = append(doc, entry{"model", model})
	}
	list := []document{}
	defaults := reflect.ValueOf(Default())
	for i, job := range r.Jobs {
		d, err := documentOf(reflect.ValueOf(job), defaults, fmt.Sprintf("jobs[%d].", i))
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	if len(list) == 1 {
		return append(doc, list[0]...), nil
	}
	return append(doc, entry{jobs, list}), nil
}

// documentOf lists the fields of a struct with key tags that differ from those of defaults, or from zero where there are none.
func documentOf(v, defaults reflect.Value, prefix string) (document, error) {
	doc := document{}
	for _, field := range fieldsOf(v.Type()) {
		f := v.Field(field.index)
		if !defaults.IsValid() && f.IsZero() || defaults.IsValid() && sameAsDefault(f, defaults.Field(field.index)) {
			continue
		}
		value, err := field.valueOf(f, prefix+field.name)
		if err != nil {
			return nil, err
		}
		doc = append(doc, entry{field.name, value})
	}
	return doc, nil
}

func (f field) valueOf(v reflect.Value, path string) (any, error) {
	switch {
	case f.table:
		return documentOf(v, reflect.Value{}, path+".")
	case f.tables:
		list := make([]document, v.Len())
		for i := range list {
			var err error
			if list[i], err = documentOf(v.Index(i), reflect.Value{}, fmt.Sprintf("%s[%d].", path, i)); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	value, problem := kindFor(v.Type()).encode(reflect.Indirect(v).Interface())
	if problem != "" {
		return nil, Errors{{Path: path, Message: problem}}
	}
	return value, nil
}

// sameAsDefault reports whether a field is at its default. Most defaults are zero.
func sameAsDefault(f, def reflect.Value) bool {
	return f.IsZero() && def.IsZero() || reflect.DeepEqual(f.Interface(), def.Interface())
}

// tableOf orders a table of options.
func tableOf[T any](m map[string]T) document {
	doc := document{}
	for _, key := range sortedKeys(m) {
		value := any(m[key])
		if inner, ok := value.(map[string]any); ok {
			value = tableOf(inner)
		}
		doc = append(doc, entry{key, value})
	}
	return doc
}

// MarshalJSON writes the table in its order.
func (d document) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, e := range d {
		if i > 0 {
			out.WriteByte(',')
		}
		key, err := json.Marshal(e.key)
		if err != nil {
			return nil, err
		}
		value := []byte(nil)
		if x, ok := e.value.(float64); ok {
			value = []byte(floatText(x))
		} else if value, err = json.Marshal(e.value); err != nil {
			return nil, err
		}
		out.Write(append(append(key, ':'), value...))
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// floatText writes a number so that it is no integer when it is read.
func floatText(x float64) string {
	s := strconv.FormatFloat(x, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

// toml writes the table: first its values, then its tables, as TOML demands.
func (d document) toml(out *bytes.Buffer, path string) error {
	for _, e := range d {
		switch e.value.(type) {
		case document, []document:
			continue
		}
		text, err := toml.Marshal(map[string]any{e.key: e.value})
		if err != nil {
			return fmt.Errorf("%s: %w", join(path, e.key), err)
		}
		out.Write(text)
	}
	for _, e := range d {
		name := join(path, tomlKey(e.key))
		switch v := e.value.(type) {
		case document:
			fmt.Fprintf(out, "\n[%s]\n", name)
			if err := v.toml(out, name); err != nil {
				return err
			}
		case []document:
			for _, item := range v {
				fmt.Fprintf(out, "\n[[%s]]\n", name)
				if err := item.toml(out, name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// tomlKey quotes a key where TOML needs it.
func tomlKey(key string) string {
	if isSnake(key) {
		return key
	}
	return strconv.Quote(key)
}
