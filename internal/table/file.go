package table

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// Spec is a table of a run file: the axes, and the names of what is made of the pictures.
type Spec struct {
	Table
	Grid, CSV string // "": the command's
}

// FromFile reads [table] of a run file. Errors are request.Errors, with paths such as table.x.
func FromFile(value any) (s Spec, err error) {
	var errs request.Errors
	table, ok := value.(map[string]any)
	if !ok {
		errs.Add("table", "is no table; write [table] with x = {key = \"seed\", values = [1, 2, 3]}")
		return s, errs
	}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		at := "table." + key
		switch {
		case slices.Contains(Names, key):
			a, err := axisOf(key, table[key])
			if err != nil {
				errs.Add(at, "%s", err.Error())
			}
			s.Axes[slices.Index(Names, key)] = a
		case key == "grid" || key == "csv":
			text, ok := table[key].(string)
			if !ok {
				errs.Add(at, "is no text; it is the name of a file")
			}
			*map[string]*string{"grid": &s.Grid, "csv": &s.CSV}[key] = text
		default:
			errs.Add(at, "unknown key; it has x, y, z, grid and csv")
		}
	}
	return s, errs.Err()
}

// axisOf reads {key = "seed", values = [1, 2, 3]}.
func axisOf(name string, value any) (Axis, error) {
	a := Axis{Name: name}
	table, ok := value.(map[string]any)
	if !ok {
		if text, isText := value.(string); isText {
			return ParseAxis(name, text)
		}
		return a, fmt.Errorf("is no axis; write {key = \"seed\", values = [1, 2, 3]}, or \"seed=1,2,3\"")
	}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		switch strings.ToLower(key) {
		case "key":
			a.Key, _ = table[key].(string)
		case "values":
			a.Values, _ = table[key].([]any)
		default:
			return a, fmt.Errorf("%s is unknown; an axis has key and values", key)
		}
	}
	if a.Key == "" {
		return a, fmt.Errorf("has no key; write {key = \"seed\", values = [1, 2, 3]}")
	}
	return a, a.check()
}
