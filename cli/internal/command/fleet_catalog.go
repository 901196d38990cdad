package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// noModels is how a server without a worker opens a model.
func noModels(context.Context, pipeline.Config) (*pipeline.Pipeline, error) {
	return nil, errors.New("this server has no worker of its own")
}

// fleetCatalog is what the workers of a fleet have, by names, for a server that has no files.
type fleetCatalog struct {
	q     *durable.Queue
	log   *slog.Logger
	now   atomic.Pointer[catalog.Catalog]
	own   func() *catalog.Catalog // of a server that makes pictures itself: only names that differ are of interest; nil: of no files
	names []string                // of the listings that it is made of
	told  string                  // the names that differ, as they were logged
}

func newFleetCatalog(q *durable.Queue, log *slog.Logger) *fleetCatalog {
	f := &fleetCatalog{q: q, log: log}
	c, _ := catalog.Names() // of nothing there is nothing to be wrong
	f.now.Store(c)
	return f
}

func (f *fleetCatalog) current() *catalog.Catalog { return f.now.Load() }

// follow keeps the catalog as the workers say until ctx ends.
func (f *fleetCatalog) follow(ctx context.Context) {
	tick := time.NewTicker(durable.PresentEvery / 2)
	defer tick.Stop()
	for {
		if f.own != nil {
			f.names = nil // the own catalog may be a new one
		}
		if err := f.read(ctx); err != nil && ctx.Err() == nil {
			f.log.Warn("the files of the workers are not known", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// read reads the listings of the workers that are there. Where there is none, what was there last counts: runs are taken and wait.
func (f *fleetCatalog) read(ctx context.Context) error {
	var names []string
	for _, w := range f.q.Workers() {
		if w.Listing != "" && !slices.Contains(names, w.Listing) {
			names = append(names, w.Listing)
		}
	}
	if len(names) == 0 && f.own != nil {
		return nil
	}
	if len(names) == 0 {
		if f.names != nil {
			return nil
		}
		var err error
		if names, err = f.q.Listings(ctx); err != nil || len(names) == 0 {
			return err
		}
	}
	if slices.Sort(names); slices.Equal(names, f.names) {
		return nil
	}
	var lists []catalog.Listing
	for _, name := range names {
		data, err := f.q.Listing(ctx, name)
		if err != nil {
			return err
		}
		var l catalog.Listing
		if err := json.Unmarshal(data, &l); err != nil {
			return fmt.Errorf("a listing: %w", err)
		}
		lists = append(lists, l)
	}
	f.names = names
	clashes := catalog.ClashesOf(lists)
	if text := clashes.String(); text != f.told {
		if f.told = text; text != "" {
			f.log.Warn("workers have different files under one name: runs that use them are refused", "names", text)
		} else {
			f.log.Info("workers have the same files under all names again")
		}
	}
	if f.own != nil {
		f.own().SetClashes(clashes)
		return nil
	}
	c, err := catalog.Names(lists...)
	if err != nil {
		return err
	}
	f.now.Store(c)
	return nil
}

// devices lists what the workers compute on.
func (f *fleetCatalog) devices(context.Context) (list []backend.Device, err error) {
	for _, w := range f.q.Workers() {
		list = append(list, backend.Device{ID: w.Name, Description: w.Device, FreeBytes: w.Free, TotalBytes: w.Total})
	}
	return list, nil
}
