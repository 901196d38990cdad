package request

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/words"
)

// decoder fills structs from decoded tables. It collects everything that is wrong, and how keys were spelled.
type decoder struct {
	casing  Casing
	errs    Errors
	notes   []string
	spelled spelling
	modelAt place

	pictured, masked bool // some job has a picture to start from, a mask
	webUI            bool // the job that is decoded is in A1111's form
}

// place is where a value stands: the path as this package calls it, and as it was written.
type place struct{ canonical, written string }

// key is the place of a key of a table.
func (p place) key(name, written string) place {
	return place{join(p.canonical, name), join(p.written, written)}
}

// item is the place of an item of an array.
func (p place) item(i int) place {
	return place{fmt.Sprintf("%s[%d]", p.canonical, i), fmt.Sprintf("%s[%d]", p.written, i)}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// moved is a value that was written elsewhere or under another name, which path tells.
type moved struct {
	value any
	path  string
}

// unwrap returns a value and the place where it was written.
func unwrap(value any, at place) (any, place) {
	if m, ok := value.(moved); ok {
		return m.value, place{at.canonical, m.path}
	}
	return value, at
}

// learn remembers how a place was spelled.
func (d *decoder) learn(at place) {
	if d.spelled.path(at.canonical, d.casing) == at.written {
		return
	}
	if d.spelled == nil {
		d.spelled = spelling{}
	}
	d.spelled[at.canonical] = at.written
}

// spelling holds the paths of values as they were written, by the paths that this package gives them. It has those that
// differ by more than the casing, or than the path of the table that the value is in.
type spelling map[string]string

// path turns a canonical path into the one that was written; keys that were not written at all get the casing.
func (s spelling) path(path string, c Casing) string {
	for head := path; head != ""; {
		if written, ok := s[head]; ok {
			return written + c.Path(path[len(head):])
		}
		head = head[:max(strings.LastIndexAny(head, ".["), 0)]
	}
	return c.Path(path)
}

// modelTable takes what is written as the model: a table or a path.
func (d *decoder) modelTable(key string, value any) map[string]any {
	d.modelAt = place{"model", key}
	d.learn(d.modelAt)
	table := map[string]any{}
	switch v := value.(type) {
	case nil:
	case string:
		table["model"] = moved{v, key}
	case map[string]any:
		maps.Copy(table, v)
	default:
		d.errs.Add(key, "is %s; write a [model] table or a path", kindOf(v))
	}
	return table
}

// itemsOf returns the items of an array of tables, in either form the TOML library yields, or JSON's.
func itemsOf(value any) (items []any, ok bool) {
	if tables, ok := value.([]map[string]any); ok {
		for _, t := range tables {
			items = append(items, t)
		}
		return items, true
	}
	items, ok = value.([]any)
	return items, ok
}

// tables takes value as the jobs of a run.
func (d *decoder) tables(key string, value any) (out []map[string]any) {
	items, ok := itemsOf(value)
	if !ok && value != nil {
		d.errs.Add(key, "is %s; write [[job]] above each job", kindOf(value))
	}
	for i, item := range items {
		m, ok := item.(map[string]any)
		if !ok {
			d.errs.Add(fmt.Sprintf("jobs[%d]", i), "is %s; a job is a table", kindOf(item))
			continue
		}
		out = append(out, m)
	}
	return out
}

// structure sets dst's fields (a pointer to a struct with key tags) from a table and returns the keys it set.
func (d *decoder) structure(dst any, table map[string]any, at place) map[string]bool {
	v := reflect.ValueOf(dst).Elem()
	fields := fieldsOf(v.Type())
	given, where := map[string]bool{}, map[string]string{}
	for _, key := range sortedKeys(table) {
		folded := fold(key)
		k := slices.IndexFunc(fields, func(f field) bool { return folded != "" && slices.Contains(f.folded, folded) })
		if k < 0 {
			_, here := unwrap(table[key], at.key("", key))
			d.errs.Add(here.written, "unknown key%s", d.hint(key, fields, tableNames[v.Type()]))
			continue
		}
		f := fields[k]
		value, here := unwrap(table[key], at.key(f.name, key))
		if other, twice := where[f.name]; twice {
			d.errs.Add(here.written, "is given twice, also as %s", other)
			continue
		}
		where[f.name] = here.written
		if value == nil {
			continue // null is what many programs write for what is not given
		}
		d.learn(here)
		before := len(d.errs)
		d.set(v.Field(f.index), f, value, here)
		given[f.name] = len(d.errs) == before
	}
	r, ok := dst.(*Request)
	if ok && given["guidance_scale"] && r.GuidanceScale == 0 {
		r.GuidanceScale = NoGuidance // a written 0 is meant, unlike a zero field
	}
	if ok && given["prompt"] && r.Prompt == "" {
		r.Prompt = NoPrompt
	}
	if ok && given["negative_prompt"] && !d.webUI {
		r.SetNegativePrompt(r.NegativePrompt) // so is a written empty text; A1111 takes it for none
	}
	return given
}

// set sets one field.
func (d *decoder) set(v reflect.Value, f field, value any, at place) {
	switch {
	case f.table:
		d.table(v, value, at)
	case f.tables:
		d.list(v, value, at)
	default:
		if options, ok := value.(map[string]any); ok && f.typ == reflect.TypeFor[map[string]any]() {
			value = snakeKeys(options)
		}
		if err := setField(v, value); err != "" {
			d.errs.Add(at.written, "%s", err)
		}
	}
}

// table sets a struct from a table within a table.
func (d *decoder) table(v reflect.Value, value any, at place) {
	table, ok := value.(map[string]any)
	if !ok {
		d.errs.Add(at.written, "is %s; expected a table", kindOf(value))
		return
	}
	d.structure(v.Addr().Interface(), d.rename(tableNames[v.Type()], table, at.written), at)
}

// list sets a slice of structs from an array of tables.
func (d *decoder) list(v reflect.Value, value any, at place) {
	items, ok := itemsOf(value)
	if !ok {
		d.errs.Add(at.written, "is %s; write [[%s]] above each", kindOf(value), at.written)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		inner, here := unwrap(item, at.item(i))
		d.learn(here)
		d.table(out.Index(i), inner, here)
	}
	v.Set(out)
}

// snakeKeys writes the keys of a table of options in snake_case.
func snakeKeys(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for key, value := range m {
		out[snake(key)] = value
	}
	return out
}

// hint tells what an unknown key may have been meant to be: the nearest of names, also of foreign ones, or a key of another table.
func (d *decoder) hint(key string, fields []field, foreign map[string]Name) string {
	for _, k := range Keys() {
		if fold(k.Name) == fold(key) && (k.Table == "" || k.Table == "model") {
			if k.Table == "" {
				return "; it belongs to the top level or a [[job]]"
			}
			return fmt.Sprintf("; it belongs to [%s]", k.Table)
		}
	}
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	var others []string // names of other programs, such as steps
	for _, n := range foreign {
		if slices.Contains(names, n.Key) {
			others = append(others, n.Name)
		}
	}
	slices.Sort(others)
	if near := words.Nearest(snake(key), append(names, others...)); near != "" {
		return fmt.Sprintf("; did you mean %q?", d.casing.Key(near))
	}
	return "; see docs/configuration.md for the known ones"
}
