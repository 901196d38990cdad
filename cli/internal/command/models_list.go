package command

import (
	"cmp"
	"context"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/modelcard"
	"github.com/daguerre-go/daguerre/internal/modelname"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/hub"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// modelListOptions is what models list is asked to do.
type modelListOptions struct {
	known, json bool
}

func modelListOptionsOf(c *cli.Context) (modelListOptions, error) {
	return modelListOptions{known: c.Bool("known"), json: c.Bool("json")}, noArgs(c, "")
}

// listedModel is a model on this machine.
type listedModel struct {
	Name  string   `json:"name"`            // how it is named so that nothing else is meant
	Short []string `json:"short,omitempty"` // names of well-known models that stand for it
	hub.Model
	Is   modelcard.Card `json:"is"`
	Hash string         `json:"hash,omitempty"` // the first ten digits of the SHA-256, as AUTOMATIC1111 has it
}

func (o modelListOptions) execute(_ context.Context, env Env) error {
	registry, err := modelname.Load()
	if err != nil {
		return &inputError{err}
	}
	if o.known {
		return o.printKnown(env, registry)
	}
	list := []listedModel{} // [] where there are none
	for _, m := range hub.List() {
		l := listedModel{Name: m.Name(), Is: modelcard.Of(pipeline.CacheDir(), m.Path), Model: m}
		if l.SHA256 == "" && m.File != "" {
			l.SHA256 = pipeline.KnownHash(m.Path)
		}
		if l.SHA256 != "" {
			l.Hash = short(l.SHA256)
		}
		for _, e := range registry.Entries() {
			if found, err := hub.Resolve(e.Name); err == nil && found.Path == m.Path {
				l.Short = append(l.Short, e.Name)
			}
		}
		list = append(list, l)
	}
	if len(list) == 0 && !o.json {
		return printTo(env.Stdout, "No models were fetched. \"daguerre models pull sdxl\" fetches one; \"daguerre models list --known\" lists "+
			"others.\n")
	}
	rows := [][]string{{"NAME", "KIND", "TYPE", "SIZE", "HASH", "SHORT NAME", "OF"}}
	for _, l := range list {
		kind := string(l.Is.Kind)
		if l.Is.Base != "" {
			kind += " (" + l.Is.Base + ")"
		}
		if l.Is.Reason != "" {
			kind += ", not usable"
		}
		rows = append(rows, []string{l.Name, kind, cmp.Or(l.Is.Type, "-"), words.Bytes(l.Size), shortHash(l.SHA256),
			cmp.Or(strings.Join(l.Short, ", "), "-"), cmp.Or(strings.Join(l.Refs, ", "), "-")})
	}
	return printList(env, o.json, list, rows)
}

func (o modelListOptions) printKnown(env Env, registry *modelname.Registry) error {
	rows := [][]string{{"NAME", "SIZE", "HASH", "WHAT IT IS", "WHERE IT IS"}}
	for _, e := range registry.Entries() {
		size := "-"
		if e.Size > 0 {
			size = words.Bytes(e.Size)
		}
		rows = append(rows, []string{e.Name, size, shortHash(e.SHA256), cmp.Or(e.About, "-"), e.Model})
	}
	return printList(env, o.json, registry.Entries(), rows)
}
