package catalog

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/hubcache"
	"github.com/daguerre-go/daguerre/internal/phrases"
	"github.com/daguerre-go/daguerre/internal/prepare"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Styles lists the styles that runs of a model may name. Their files are read each time: they are small, and change.
func (c *Catalog) Styles(m Model) ([]phrases.Style, error) {
	if c.listed != nil {
		return c.styles[m.Name], nil
	}
	s, err := phrases.ReadStyles(m.Defaults.Model.StyleFiles...)
	if err != nil {
		return nil, err
	}
	return s.List(), nil
}

// checkTexts finds styles and wildcards that the server does not have. Errors are request.Errors.
func (c *Catalog) checkTexts(run request.Run, m Model) error {
	if c.listed != nil {
		return nil // who makes the run finds out
	}
	run.Model = m.Defaults.Model
	var errs request.Errors
	if !errors.As(prepare.CheckTexts(run), &errs) {
		return nil
	}
	for i := range errs {
		errs[i].Message = c.Hide(errs[i].Message)
	}
	return errs
}

// Hide leaves the folders of this machine out of a text for clients. Names of files stay.
func (c *Catalog) Hide(text string) string { return c.hidden.Replace(text) }

// hide learns which folders and files there are.
func (c *Catalog) hide(o Options) {
	var paths []string
	for _, table := range []any{o, hubcache.FromEnv()} {
		paths = append(paths, texts(table)...)
	}
	for _, m := range c.models {
		paths = append(paths, texts(m.Defaults.Model)...)
	}
	for _, p := range paths {
		if abs, err := filepath.Abs(p); err == nil {
			paths = append(paths, abs)
		}
	}
	slices.SortFunc(paths, func(a, b string) int { return len(b) - len(a) }) // a folder after those below it
	var pairs []string
	for _, p := range paths {
		if p = filepath.Clean(p); isPlace(p) {
			pairs = append(pairs, p, filepath.Base(p))
		}
	}
	c.hidden = strings.NewReplacer(pairs...)
}

// isPlace reports whether a text tells where something is: not a name such as "org/model", and more than one name.
func isPlace(p string) bool {
	if _, err := os.Lstat(p); err != nil && !filepath.IsAbs(p) {
		return false
	}
	return filepath.Base(p) != p && filepath.Dir(p) != p
}

// texts lists the texts of a struct, and those in its lists.
func texts(table any) (list []string) {
	v := reflect.ValueOf(table)
	for i := range v.NumField() {
		switch f := v.Field(i).Interface().(type) {
		case string:
			list = append(list, f)
		case []string:
			list = append(list, f...)
		}
	}
	return list
}
