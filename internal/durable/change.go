package durable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Cancel gives a run up. One that waits ends at once; the worker that has one in work ends it.
func (q *Queue) Cancel(ctx context.Context, owner, id string) (Record, error) {
	var lane Lane
	var waiting []int // pieces
	r, err := q.Update(ctx, owner, id, func(r *Record) error {
		lane = r.lane()
		switch r.State {
		case Queued:
			r.stop(Cancelled, cancelled().Error, q.o.Now().UTC())
		case Running:
			r.Cancel, waiting = true, nil
			for i := range r.Pieces {
				if p := &r.Pieces[i]; p.End == nil && !p.held() {
					end := cancelled()
					p.End = &end
					waiting = append(waiting, p.From)
				}
			}
		default:
			return fmt.Errorf("%w: it has ended as %s", ErrState, r.State)
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	if r.State == Cancelled {
		q.finish(ctx, r)
		return r, q.unqueue(ctx, lane, id)
	}
	for _, from := range waiting {
		err = errors.Join(err, q.work.Purge(ctx, jetstream.WithPurgeSubject(lane.subject(id, from))))
	}
	return r, err
}

// unqueue takes a run's messages out of its lane.
func (q *Queue) unqueue(ctx context.Context, lane Lane, id string) error {
	return errors.Join(q.work.Purge(ctx, jetstream.WithPurgeSubject(lane.subject(id, 0))),
		q.work.Purge(ctx, jetstream.WithPurgeSubject(lane.subject(id, 0)+".>")))
}

// Prioritize moves a run that waits to another lane. It goes behind the runs that are there.
func (q *Queue) Prioritize(ctx context.Context, owner, id string, priority int) (Record, error) {
	var from Lane
	r, err := q.Update(ctx, owner, id, func(r *Record) error {
		if from = r.lane(); r.State != Queued {
			return fmt.Errorf("%w: it is %s, and does not wait", ErrState, r.State)
		}
		r.Priority = priority
		r.again()
		return nil
	})
	if err != nil {
		return r, err
	}
	// The new message goes first: a worker that still gets the old one sees that its turn is over.
	if err := q.push(ctx, r); err != nil {
		return r, err
	}
	if from == r.lane() {
		return r, nil
	}
	return r, q.unqueue(ctx, from, id)
}

// Remember keeps a change of a run's adapters for its worker, and for the next one if that dies.
func (q *Queue) Remember(ctx context.Context, owner, id string,
	merge func(changes json.RawMessage) (json.RawMessage, error)) (Record, error) {
	return q.Update(ctx, owner, id, func(r *Record) (err error) {
		if r.State.Ended() {
			return fmt.Errorf("%w: it has ended as %s", ErrState, r.State)
		}
		r.Changes, err = merge(r.Changes)
		return err
	})
}

// Dead lists the runs that workers died of, of all owners, the newest first.
func (q *Queue) Dead() (list []Record) {
	q.Newest("", false, time.Time{}, "", func(r *Record) bool {
		if r.Dead {
			list = append(list, *r)
		}
		return true
	})
	return list
}

// Resubmit queues a run again that has failed.
func (q *Queue) Resubmit(ctx context.Context, owner, id string) (Record, error) {
	r, err := q.Update(ctx, owner, id, func(r *Record) error {
		if r.State != Failed {
			return fmt.Errorf("%w: it is %s; only what has failed can be submitted again", ErrState, r.State)
		}
		r.again()
		return nil
	})
	if err != nil {
		return r, err
	}
	if err := q.dead.Purge(ctx, jetstream.WithPurgeSubject(deadSubject(owner, id))); err != nil {
		return r, err
	}
	return r, q.push(ctx, r)
}

// Remove forgets a run that has ended: its record and its events.
func (q *Queue) Remove(ctx context.Context, owner, id string) error {
	r, err := q.Get(ctx, owner, id)
	if err != nil {
		return err
	}
	if !r.State.Ended() {
		return fmt.Errorf("%w: it is %s; cancel it first", ErrState, r.State)
	}
	for _, s := range []struct {
		stream  jetstream.Stream
		subject string
	}{{q.dead, deadSubject(owner, id)}, {q.events, eventSubject(owner, id)}} {
		if err := s.stream.Purge(ctx, jetstream.WithPurgeSubject(s.subject)); err != nil {
			return err
		}
	}
	if err := q.runs.Purge(ctx, key(owner, id), jetstream.PurgeTTL(time.Hour)); err != nil {
		return err
	}
	q.index.drop(owner, id)
	return nil
}
