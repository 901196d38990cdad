package catalog

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/phrases"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Listing is what a Catalog has, by names only: for a server on another machine, which reads runs for those who have the files.
type Listing struct {
	Models []Listed          `json:"models"`
	Fetch  []Listed          `json:"fetch,omitempty"` // models that are not there, but could be fetched
	Files  map[Kind][]string `json:"files"`

	// Sums tell files from others that have the same names, by these.
	Sums map[Kind]map[string]string `json:"sums,omitempty"`
}

// Listed is a model in a Listing.
type Listed struct {
	Name   string          `json:"name"`
	Sum    string          `json:"sum,omitempty"` // tells its files from others; empty: it has none
	Job    json.RawMessage `json:"job"`           // a run whose job has the model's defaults
	Styles []phrases.Style `json:"styles,omitempty"`
}

// kinds are all kinds.
var kinds = []Kind{LoRA, Net, IPAdapter, Embedding, VAE, Refiner, Upscaler, Detector}

// Listing lists what there is now.
func (c *Catalog) Listing() (Listing, error) {
	l := Listing{Files: map[Kind][]string{}, Sums: map[Kind]map[string]string{}}
	for _, kind := range kinds {
		files, err := c.of(kind).List()
		if err != nil {
			return l, err
		}
		for _, f := range files {
			if l.Sums[kind] == nil {
				l.Sums[kind] = map[string]string{}
			}
			l.Files[kind] = append(l.Files[kind], f.Name)
			l.Sums[kind][f.Name] = known.of(f.Path)
		}
	}
	for _, m := range c.models {
		listed, err := c.listModel(m)
		if err != nil {
			return l, err
		}
		listed.Sum = known.model(m.Defaults.Model)
		l.Models = append(l.Models, listed)
	}
	for _, m := range c.fetch {
		listed, err := c.listModel(m)
		if err != nil {
			return l, err
		}
		l.Fetch = append(l.Fetch, listed)
	}
	return l, nil
}

// listModel lists a model without its sum.
func (c *Catalog) listModel(m Model) (l Listed, err error) {
	l.Name = m.Name
	l.Job, err = request.Run{Model: request.Model{Model: m.Name}, Jobs: []request.Request{m.Defaults.Job}}.EncodeJSON(request.SnakeCase)
	if err != nil {
		return l, fmt.Errorf("the defaults of the model %s: %w", m.Name, err)
	}
	l.Styles, err = c.Styles(m)
	return l, err
}

// Names makes a Catalog of listings. It knows names only: Decode works, and Resolve does not. Of models with one name, the first counts,
// and one that is there before one that could be fetched; Decode refuses them if they are not the same.
func Names(lists ...Listing) (*Catalog, error) {
	c := &Catalog{listed: map[Kind][]string{}, styles: map[string][]phrases.Style{}, hidden: strings.NewReplacer()}
	c.SetClashes(ClashesOf(lists))
	var models, fetch []Listed
	for _, l := range lists {
		for kind, names := range l.Files {
			c.listed[kind] = append(c.listed[kind], names...)
		}
		models = append(models, l.Models...)
		fetch = append(fetch, l.Fetch...)
	}
	for _, m := range append(models, fetch...) {
		if slices.ContainsFunc(c.models, func(other Model) bool { return other.Name == m.Name }) {
			continue
		}
		run, err := request.DecodeJSON(m.Job)
		if err != nil || len(run.Jobs) != 1 {
			return nil, fmt.Errorf("the defaults of the model %s cannot be read: %w", words.Clip(m.Name), err)
		}
		c.models = append(c.models, Model{m.Name, request.Defaults{Job: run.Jobs[0]}})
		c.styles[m.Name] = m.Styles
	}
	for kind, names := range c.listed {
		slices.Sort(names)
		c.listed[kind] = slices.Compact(names)
	}
	slices.SortFunc(c.models, func(a, b Model) int { return strings.Compare(a.Name, b.Name) })
	return c, nil
}

// findListed finds a file by its name, its name without the folders before it, or the beginning of that, where only one has it.
func (c *Catalog) findListed(kind Kind, name string) (string, error) {
	for _, same := range []func(listed string) bool{
		func(listed string) bool { return listed == name },
		func(listed string) bool {
			return strings.EqualFold(own(listed), name) || strings.EqualFold(listed, name)
		},
		func(listed string) bool {
			return strings.HasPrefix(strings.ToLower(own(listed)), strings.ToLower(name))
		},
	} {
		var found []string
		for _, listed := range c.listed[kind] {
			if same(listed) {
				found = append(found, listed)
			}
		}
		switch len(found) {
		case 0:
		case 1:
			return found[0], nil
		default:
			return "", fmt.Errorf("%q may be %s", words.Clip(name), strings.Join(found[:min(len(found), 5)], ", "))
		}
	}
	return "", fmt.Errorf("no worker has %q%s", words.Clip(name), words.DidYouMean(name, c.listed[kind]))
}

func own(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }
