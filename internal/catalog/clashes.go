package catalog

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Clashes are names that do not mean the same on all machines: a picture would depend on which one makes it.
type Clashes struct {
	Models []string
	Files  map[Kind][]string
}

// ClashesOf compares listings.
func ClashesOf(lists []Listing) Clashes {
	c := Clashes{Files: map[Kind][]string{}}
	first, styles := map[string]Listed{}, map[string]string{}
	sums := map[Kind]map[string]string{}
	for _, l := range lists {
		for _, m := range l.Models {
			text, _ := json.Marshal(m.Styles) // texts only
			switch other, ok := first[m.Name]; {
			case !ok:
				first[m.Name], styles[m.Name] = m, string(text)
			case (other.Sum != m.Sum || !bytes.Equal(other.Job, m.Job) || styles[m.Name] != string(text)) && !slices.Contains(c.Models, m.Name):
				c.Models = append(c.Models, m.Name)
			}
		}
		for kind, files := range l.Sums {
			if sums[kind] == nil {
				sums[kind] = map[string]string{}
			}
			for name, sum := range files {
				if other, ok := sums[kind][name]; !ok {
					sums[kind][name] = sum
				} else if other != sum && !slices.Contains(c.Files[kind], name) {
					c.Files[kind] = append(c.Files[kind], name)
				}
			}
		}
	}
	slices.Sort(c.Models)
	for _, names := range c.Files {
		slices.Sort(names)
	}
	return c
}

// String lists the names; empty: there are none.
func (c Clashes) String() string {
	var list []string
	if len(c.Models) > 0 {
		list = append(list, "models "+strings.Join(c.Models, ", "))
	}
	for _, kind := range kinds {
		if names := c.Files[kind]; len(names) > 0 {
			list = append(list, string(kind)+" "+strings.Join(names, ", "))
		}
	}
	return strings.Join(list, "; ")
}

// SetClashes has Decode refuse runs with names that do not mean the same everywhere. It may be called at any time.
func (c *Catalog) SetClashes(clashes Clashes) { c.clashes.Store(&clashes) }

// clashing are the names that do not mean the same everywhere.
func (c *Catalog) clashing() Clashes {
	if list := c.clashes.Load(); list != nil {
		return *list
	}
	return Clashes{}
}

const differ = "workers have different files, or defaults, under the name %q, so that the picture would depend on which one makes it; " +
	"give them the same file, or names of their own"

// checkModel finds out whether a model is the same everywhere.
func (c *Catalog) checkModel(name, path string, errs *request.Errors) {
	if slices.Contains(c.clashing().Models, name) {
		errs.Add(path, differ, name)
	}
}

// checkFile finds out whether the file that a name means is the same everywhere.
func (c *Catalog) checkFile(kind Kind, name, path string, errs *request.Errors) {
	names := c.clashing().Files[kind]
	if len(names) == 0 {
		return
	}
	found, err := c.path(kind, name)
	if err != nil {
		return // it was told
	}
	if c.listed == nil {
		files, _ := c.of(kind).List() // path has found one of them
		for _, f := range files {
			if f.Path == found {
				found = f.Name
			}
		}
	}
	if slices.Contains(names, found) {
		errs.Add(path, differ, words.Clip(found))
	}
}

// checkEmbeddings finds out whether the embeddings that the texts of a run name are the same everywhere. Any word may name one.
func (c *Catalog) checkEmbeddings(text, path string, errs *request.Errors) {
	for _, name := range c.clashing().Files[Embedding] {
		if strings.Contains(strings.ToLower(text), strings.ToLower(own(name))) {
			errs.Add(path, differ, words.Clip(name))
		}
	}
}
