package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/runtime/hub"
)

// pulled is a model of --pull: its name for clients, and the one that daguerre models pull knows.
func pulled(said string) (name, source string) {
	m := catalog.ModelOf(said)
	return m.Name, m.Defaults.Model.Model
}

// checkPull finds out whether --pull names something that could be fetched.
func checkPull(said string) error {
	name, source := pulled(said)
	if _, err := hub.Resolve(source); errors.Is(err, hub.ErrName) {
		return fmt.Errorf("it is no name that daguerre models pull knows: %w", err)
	}
	if strings.TrimSpace(name) == "" {
		return errors.New("the name before = is empty")
	}
	return nil
}

// fetchable adds the models of --pull: those that were fetched to what is offered, and the others to what could be.
func (s *site) fetchable(o catalog.Options) catalog.Options {
	o.Models = slices.Clone(o.Models)
	for _, said := range s.pull {
		if _, source := pulled(said); isPulled(source) {
			o.Models = append(o.Models, said)
		} else {
			o.Fetch = append(o.Fetch, said)
		}
	}
	return o
}

func isPulled(source string) bool {
	_, err := hub.Resolve(source)
	return err == nil
}

// The time between two looks at what waits, and after a model could not be fetched.
const (
	wantedEvery = time.Second
	pullAgain   = time.Minute
)

// pullWanted fetches models of --pull for which runs wait, one after the other, until ctx ends. Each time it tells fetched. What came of a
// model stays when ctx ends, or when something goes wrong: the next try goes on from there.
func (s *site) pullWanted(ctx context.Context, fetched chan<- struct{}) {
	failed := map[string]time.Time{}
	tick := time.NewTicker(wantedEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		wanted := map[string]bool{}
		for d, n := range s.runs.Demand() {
			wanted[d.Model] = wanted[d.Model] || n > 0
		}
		for _, said := range s.pull {
			name, source := pulled(said)
			if _, here := s.catalog.Load().Find(name); here || !wanted[name] || time.Since(failed[name]) < pullAgain {
				continue
			}
			if err := s.pullOne(ctx, name, source); err != nil {
				failed[name] = time.Now()
				continue
			}
			select {
			case fetched <- struct{}{}:
			case <-ctx.Done():
				return
			}
			failed[name] = time.Now() // if it cannot be offered, it is not looked for again at once
		}
	}
}

// pullOne fetches a model and logs how that goes.
func (s *site) pullOne(ctx context.Context, name, source string) error {
	log := s.log.With("model", name, "source", source)
	log.Info("runs wait for a model that is not here; it is fetched")
	began := time.Now()
	m, err := s.env.Pull(ctx, source, hub.Options{Note: func(text string) { log.Debug("pull", "note", text) }})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		log.Error("the model could not be fetched; it is tried again while runs wait for it", "error", err, "again", pullAgain.String())
		return err
	}
	log.Info("the model was fetched", "bytes", m.Size, "seconds", time.Since(began).Seconds())
	return nil
}
