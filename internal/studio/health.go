package studio

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/service"
)

// Counts are numbers for those who run the server.
type Counts struct {
	States map[durable.State]int
	Dead   int
	Images int           // pictures of runs that have not ended
	Made   int           // pictures that this process has made
	Oldest time.Duration // age of the run that waits for longest
	Models []service.ModelInfo
}

// Counts counts.
func (s *Studio) Counts() Counts {
	c := Counts{States: map[durable.State]int{}}
	s.o.Queue.Each(func(r *durable.Record) {
		c.States[r.State]++
		if r.Dead {
			c.Dead++
		}
		if !r.State.Ended() {
			c.Images += r.Images
		}
		if r.State == durable.Queued {
			c.Oldest = max(c.Oldest, s.o.Now().Sub(r.Created))
		}
	})
	_, _, _, served := s.o.Service.Status("")
	c.Made = served.Images
	if m, err := s.o.Service.Memory(context.Background()); err == nil {
		c.Models = m.Models
	}
	return c
}

// Fleet tells how workers and queues are, of all owners.
func (s *Studio) Fleet() durable.Fleet { return s.o.Queue.Fleet() }

// FleetOf is Fleet for a caller: the queues are those of its own runs.
func (s *Studio) FleetOf(c Caller) durable.Fleet {
	f := s.o.Queue.Fleet()
	if !c.Admin {
		f.Queues = slices.DeleteFunc(f.Queues, func(l durable.LaneStatus) bool { return l.Owner != c.Owner })
		f.Waiting, f.Running, f.Dead = 0, 0, 0
		for _, l := range f.Queues {
			f.Waiting += l.Waiting
			f.Running += l.Running
		}
	}
	return f
}

// Ready returns why the server cannot work; nil: it can.
func (s *Studio) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	return errors.Join(s.o.Queue.Ready(ctx), s.o.Store.Ready(ctx))
}

// readyTime is how long the queue and the store may take to answer.
const readyTime = 5 * time.Second

// tendEvery is how often what is too old is looked for.
const tendEvery = time.Minute

// Tend forgets runs that ended long ago, with their pictures, until ctx ends. Several processes may do it at once.
func (s *Studio) Tend(ctx context.Context) {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		for _, r := range s.o.Queue.Old() {
			if ctx.Err() != nil {
				return
			}
			if err := s.forget(ctx, r); err != nil {
				s.o.Log.Warn("an old run could not be removed", "run", r.ID, "error", err)
				break // the queue or the store is away
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// forget removes a run as remove does, from its summary.
func (s *Studio) forget(ctx context.Context, r durable.Record) error {
	err := s.remove(ctx, r)
	if p, ok := errors.AsType[*Problem](err); ok && p.Kind == NotFound {
		return nil // another process was faster
	}
	return err
}
