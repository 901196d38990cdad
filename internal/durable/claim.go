package durable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrLost is returned where another worker has a run by now.
var ErrLost = errors.New("another worker has the run")

// Claim is a run that a worker has. The worker calls Alive often, and Finish or GiveBack at the end.
type Claim struct {
	Record
	q   *Queue
	msg jetstream.Msg
}

// Suspect reports whether a worker has died with this run in work: perhaps of it. Such a run is made alone, so that no other run is
// taken for a dangerous one.
func (c *Claim) Suspect() bool { return c.Attempts > 1 }

// Redelivered reports whether a worker may have had the run before.
func (c *Claim) Redelivered() bool {
	m, err := c.msg.Metadata()
	return err != nil || m.NumDelivered > 1
}

// AliveEvery is how often a worker is to say that it still has a run.
func (q *Queue) AliveEvery() time.Duration { return q.o.AckWait / 4 }

// Wish is what a worker would like to have.
type Wish struct {
	Worker string                  // its name
	Loaded string                  // the model that it would like best
	Room   func(priority int) bool // reports whether it takes more runs of a priority
	Can    func(model string) bool // reports whether it can make runs for a model; nil: for all
}

// Take waits for the next run that a worker may make.
func (q *Queue) Take(ctx context.Context, w Wish) (*Claim, error) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		woken := q.known.waiting()
		for _, l := range q.known.order(w.Loaded) {
			if !w.Room(l.Priority) {
				break // lower priorities have no more
			}
			if w.Can != nil && !w.Can(l.Model) {
				continue
			}
			c, err := q.claim(ctx, l, w.Worker)
			if err != nil || c != nil {
				return c, err
			}
		}
		select {
		case <-woken:
		case <-tick.C:
			q.known.wake()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Wake has Take look again, since room has changed.
func (q *Queue) Wake() { q.known.wake() }

// claim takes the next run of a lane; nil: it has none now.
func (q *Queue) claim(ctx context.Context, l *lane, worker string) (*Claim, error) {
	for {
		m, err := q.fetch(ctx, l)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			q.o.Log.Warn("a queue does not answer", "lane", l.Lane.consumer(), "error", err)
			return nil, nil
		}
		if m == nil {
			q.known.mu.Lock()
			l.empty = true
			q.known.mu.Unlock()
			return nil, nil
		}
		c, err := q.accept(ctx, m, worker)
		switch {
		case err == nil && c != nil:
			q.known.mu.Lock()
			q.known.served++
			l.last = q.known.served
			q.known.mu.Unlock()
			return c, nil
		case err != nil:
			_ = m.NakWithDelay(poll) // it comes again later in any case
			return nil, err
		}
	}
}

// errStale is why a message is dropped.
var errStale = errors.New("the message is of an earlier turn, or its run has ended")

// accept makes a message's run this worker's. It drops the message, and returns nil, where nothing is to be done.
func (q *Queue) accept(ctx context.Context, m jetstream.Msg, worker string) (*Claim, error) {
	var sent Record
	if err := json.Unmarshal(m.Data(), &sent); err != nil {
		q.o.Log.Error("a message of the queue cannot be read and is dropped", "subject", m.Subject(), "error", err)
		return nil, m.TermWithReason("it cannot be read")
	}
	var dead bool
	r, err := q.Update(ctx, sent.Owner, sent.ID, func(r *Record) error {
		if r.State.Ended() || r.Turn != sent.Turn {
			return errStale
		}
		switch dead = r.Attempts >= q.o.Attempts; {
		case dead:
			r.State, r.Dead, r.Ended = Failed, true, q.o.Now().UTC()
			r.Error = &Failure{Code: "worker_died", Message: fmt.Sprintf("%d workers ended while they made this run; it is not tried again. "+
				"Submit it again if the cause is gone", r.Attempts)}
		case r.Cancel:
			r.State, r.Ended = Cancelled, q.o.Now().UTC()
			r.Error = &Failure{Code: "cancelled", Message: "the run was cancelled"}
		default:
			r.State, r.Worker, r.Started = Running, worker, q.o.Now().UTC()
			r.Attempts++
		}
		return nil
	})
	switch {
	case errors.Is(err, errStale):
		if r.State.Ended() {
			q.finish(ctx, r) // its worker may have died between the record and the event
		}
		return nil, m.DoubleAck(ctx)
	case errors.Is(err, ErrNotFound):
		return nil, m.DoubleAck(ctx)
	case err != nil:
		return nil, err
	case dead:
		if err := q.bury(ctx, r); err != nil {
			return nil, err
		}
		fallthrough
	case r.State.Ended():
		q.finish(ctx, r)
		return nil, m.DoubleAck(ctx)
	}
	return &Claim{Record: r, q: q, msg: m}, nil
}

// Alive tells that the worker still has the run.
func (c *Claim) Alive() error { return c.msg.InProgress() }

// Cancelled reports whether the run is to be given up, or belongs to another worker by now. moved is closed when that may change.
func (c *Claim) Cancelled() (cancel, lost bool, moved <-chan struct{}) {
	r, moved, ok := c.q.index.watch(c.Owner, c.ID)
	if !ok || r.Turn == c.Turn && r.Attempts < c.Attempts {
		return false, false, moved // the index is late
	}
	return r.Cancel, r.Worker != c.Worker || r.Attempts != c.Attempts || r.State != Running, moved
}

// own changes the record where this claim still counts.
func (c *Claim) own(ctx context.Context, change func(r *Record)) (Record, error) {
	return c.q.Update(ctx, c.Owner, c.ID, func(r *Record) error {
		if r.State != Running || r.Worker != c.Worker || r.Attempts != c.Attempts || r.Turn != c.Turn {
			return ErrLost
		}
		change(r)
		return nil
	})
}

// Finish ends the run: change says how. Its pictures must be kept, and its events told.
func (c *Claim) Finish(ctx context.Context, change func(r *Record)) error {
	r, err := c.own(ctx, func(r *Record) {
		r.Ended = c.q.o.Now().UTC()
		change(r)
	})
	if errors.Is(err, ErrLost) || errors.Is(err, ErrNotFound) {
		return ErrLost
	}
	if err != nil {
		return err
	}
	c.q.finish(ctx, r)
	return c.msg.DoubleAck(ctx)
}

// GiveBack gives the run back to the queue as if it had not been taken. It comes again after a pause.
func (c *Claim) GiveBack(ctx context.Context, pause time.Duration) error {
	_, err := c.own(ctx, func(r *Record) { r.State, r.Worker, r.Attempts = Queued, "", r.Attempts-1 })
	if err != nil {
		return err
	}
	return errors.Join(c.msg.NakWithDelay(pause), c.q.nc.Publish(wakeTopic, nil))
}

// bury puts a run among those that workers died of.
func (q *Queue) bury(ctx context.Context, r Record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = q.js.Publish(ctx, deadSubject(r.Owner, r.ID), data, jetstream.WithMsgID(turnID(r)))
	return err
}

// ownerOf reads the owner and the id in a subject of the work stream.
func ownerOf(subject string) (owner, id string) {
	parts := strings.Split(strings.TrimPrefix(subject, workRoot), ".")
	if len(parts) != 4 {
		return "", ""
	}
	return parts[1], parts[3]
}
