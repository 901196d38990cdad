package durable

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// follows reports whether the queue knows all runs. One that Joins has them from the board only, added up.
func (q *Queue) follows() bool { return q.o.Access != Joins }

// follow fills the index and keeps it up to date: from the bucket of runs, and from the messages of those that no worker has taken. It
// returns once everything that was there is known.
func (q *Queue) follow(ctx, background context.Context) error {
	lanes, err := q.lanes.WatchAll(background)
	if err != nil {
		return err
	}
	if !q.follows() {
		return q.join(ctx, background, lanes)
	}
	watch, err := q.runs.WatchAll(background)
	if err != nil {
		return err
	}
	workers, err := q.workers.WatchAll(background)
	if err != nil {
		return err
	}
	// Who publishes to the work stream is heard here, too: the server passes each message on.
	if _, err = q.nc.Subscribe(workRoot+">", func(m *nats.Msg) {
		if _, _, known := q.index.get(ownerOf(m.Subject)); !known { // it is known where this process has sent it
			q.hear(m.Data)
		}
	}); err != nil {
		return err
	}
	if _, err = q.nc.Subscribe(wakeRoot+">", q.wakened); err != nil {
		return err
	}
	known := make(chan struct{}, 3)
	q.ended.Go(func() { q.watchRuns(watch, known) })
	q.ended.Go(func() { q.watchLanes(lanes, known) })
	q.ended.Go(func() { q.watchWorkers(workers, known) })
	if err := heard(ctx, known); err != nil {
		return err
	}
	return q.readWork(ctx)
}

// heard waits until as much is known as the channel holds.
func heard(ctx context.Context, known <-chan struct{}) error {
	for range cap(known) {
		select {
		case <-known:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// hear takes in a run that was queued.
func (q *Queue) hear(data []byte) {
	var r Record
	if json.Unmarshal(data, &r) == nil && r.ID != "" && r.From == 0 {
		q.index.put(r, 0)
	}
}

// watchRuns keeps the index as the bucket is.
func (q *Queue) watchRuns(w jetstream.KeyWatcher, known chan<- struct{}) {
	for e := range w.Updates() {
		switch {
		case e == nil:
			known <- struct{}{}
		case e.Operation() != jetstream.KeyValuePut:
			owner, id, _ := strings.Cut(e.Key(), ".")
			q.index.drop(owner, id)
		default:
			owner, id, _ := strings.Cut(e.Key(), ".")
			if _, revision, _ := q.index.get(owner, id); revision >= e.Revision() {
				continue // this process has written it
			}
			var r Record
			if err := json.Unmarshal(e.Value(), &r); err != nil {
				q.o.Log.Error("a run cannot be read", "key", e.Key(), "error", err)
				continue
			}
			q.index.put(r, e.Revision())
		}
	}
}

// watchLanes keeps the list of lanes as the bucket is.
func (q *Queue) watchLanes(w jetstream.KeyWatcher, known chan<- struct{}) {
	for e := range w.Updates() {
		switch {
		case e == nil:
			known <- struct{}{}
		case e.Operation() == jetstream.KeyValuePut:
			var l Lane
			if json.Unmarshal(e.Value(), &l) == nil {
				q.known.add(l)
			}
		}
	}
}

// readWork takes in the runs that wait in the work stream.
func (q *Queue) readWork(ctx context.Context) error {
	for next := uint64(1); ; {
		m, err := q.work.GetMsg(ctx, next, jetstream.WithGetMsgSubject(workRoot+">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		q.hear(m.Data)
		next = m.Sequence + 1
	}
}
