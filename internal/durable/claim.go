package durable

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrLost is returned where another worker has a run by now.
var ErrLost = errors.New("another worker has the run")

// Claim is a piece of a run that a worker has. The worker calls Alive often, and Finish or GiveBack at the end.
type Claim struct {
	Record
	Piece Piece // as it was taken
	q     *Queue
	msg   jetstream.Msg
	told  told
	known *kept  // as it was after the claim; nil: others have changed it since
	alive int    // calls of Alive
	let   func() // ends what hold began; it may be called again
}

// Size is how many pictures the piece has.
func (c *Claim) Size() int { return c.Piece.To - c.Piece.From }

// Suspect reports whether a worker has died with this run in work: perhaps of it. Such a run is made alone, so that no other run is
// taken for a dangerous one.
func (c *Claim) Suspect() bool { return c.Lost > 0 }

// Redelivered reports whether a worker may have had the run before.
func (c *Claim) Redelivered() bool {
	m, err := c.msg.Metadata()
	return err != nil || m.NumDelivered > 1
}

// AliveEvery is how often a worker is to say that it still has a run.
func (q *Queue) AliveEvery() time.Duration { return q.o.AckWait / 4 }

// Wish is what a worker would like to have.
type Wish struct {
	Worker string                         // its name
	Rank   func(model string) int         // of models of one priority: lower goes first; nil: all are equal
	Room   func(p int, owner string) bool // reports whether it takes more runs of a priority and an owner; empty: of whichever owner
	Can    func(model string) bool        // reports whether it can make runs for a model; nil: for all
	Most   func(r *Record, n int) int     // how many of n pictures of a run it takes; nil, and 0: all
	Other  func(r *Record, p Piece) bool  // reports whether a worker that is not among Piece.Tried could make a piece; nil: none
}

// Take waits for the next run that a worker may make.
func (q *Queue) Take(ctx context.Context, w Wish) (*Claim, error) {
	tick := time.NewTicker(q.poll())
	defer tick.Stop()
	waits := waiting{q: q}
	defer waits.end()
	for {
		woken := q.known.waiting()
		for _, l := range q.known.order(w.Rank) {
			if !w.Room(l.Priority, l.Owner) {
				continue
			}
			if w.Can != nil && !w.Can(l.Model) {
				continue
			}
			c, err := q.claim(ctx, l, w)
			if err != nil || c != nil {
				return c, err
			}
		}
		if waits.listen(w) {
			continue // something may have come before anybody listened
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
func (q *Queue) claim(ctx context.Context, l *lane, w Wish) (*Claim, error) {
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
		c, err := q.accept(ctx, m, w)
		switch {
		case err == nil && c != nil:
			q.known.took(l, c.Size())
			return c, nil
		case err != nil:
			_ = m.NakWithDelay(poll) // it comes again later in any case
			return nil, err
		}
	}
}

// errStale is why a message is dropped.
var errStale = errors.New("the message is of an earlier turn, or its run has ended")

// accept makes a message's piece this worker's. It drops the message, and returns nil, where nothing is to be done.
func (q *Queue) accept(ctx context.Context, m jetstream.Msg, w Wish) (*Claim, error) {
	var sent Record
	if err := json.Unmarshal(m.Data(), &sent); err != nil {
		q.o.Log.Error("a message of the queue cannot be read and is dropped", "subject", m.Subject(), "error", err)
		return nil, m.TermWithReason("it cannot be read")
	}
	meta, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	let, err := q.hold(sent.Owner, sent.ID)
	if err != nil {
		return nil, err
	}
	c, err := q.begin(ctx, m, sent, meta.Sequence.Stream, meta.NumDelivered == 1, w)
	if c == nil {
		let()
		return nil, err
	}
	c.let = let
	return c, nil
}

// begin is accept for a message that was read. first: nobody has had it before.
func (q *Queue) begin(ctx context.Context, m jetstream.Msg, sent Record, sequence uint64, first bool, w Wish) (*Claim, error) {
	var taken Piece
	var rest *Piece
	place, known := "", (*kept)(nil)
	if sent.From == 0 {
		place = m.Subject()
		if sent.Turn == 0 && first { // the message is all there is of the run
			known = &kept{Record: sent}
		}
	}
	r, revision, err := q.update(ctx, sent.Owner, sent.ID, place, known, func(r *Record) (err error) {
		taken, rest, err = r.take(sent, sequence, w, q.o, func(worker string) bool { return q.isThere(ctx, worker) })
		return err
	})
	switch {
	case errors.Is(err, errStale):
		if r.State.Ended() {
			q.finish(ctx, r) // its worker may have died between the record and the event
		}
		return nil, m.DoubleAck(ctx)
	case errors.Is(err, errUnable), errors.Is(err, errEarly):
		return nil, m.NakWithDelay(poll)
	case errors.Is(err, ErrNotFound):
		return nil, m.DoubleAck(ctx)
	case err != nil:
		return nil, err
	}
	if rest != nil {
		if err := q.pushPiece(ctx, r, rest.From); err != nil {
			q.o.Log.Warn("the rest of a run is queued later", "run", r.ID, "error", err) // requeue finds it
		}
	}
	switch {
	case r.Dead:
		if err := q.bury(ctx, r); err != nil {
			return nil, err
		}
		fallthrough
	case r.State.Ended():
		q.finish(ctx, r)
		return nil, errors.Join(q.unqueue(ctx, r.lane(), r.ID), m.DoubleAck(ctx))
	case taken.End != nil: // it was given up
		return nil, m.DoubleAck(ctx)
	}
	return &Claim{Record: r, Piece: taken, q: q, msg: m, known: &kept{r, revision}}, nil
}

// errEarly is why a message is left for a moment. A record is written before its message is sent, but it may be read from a server of the
// cluster that does not have it yet.
var errEarly = errors.New("the message is newer than the record that was read")

// errUnable is why a message is left to another worker.
var errUnable = errors.New("the worker has tried the piece, and cannot make it")

// take gives the piece of a message to a worker. rest is what the worker leaves of it. present reports whether a worker is there: a piece
// comes back from one that is if the queue did not hear of it for a while, which says nothing against the run.
func (r *Record) take(sent Record, sequence uint64, w Wish, o Options,
	present func(worker string) bool) (taken Piece, rest *Piece, err error) {
	switch {
	case r.Turn < sent.Turn:
		return taken, nil, errEarly
	case r.State.Ended() || r.Turn > sent.Turn:
		return taken, nil, errStale
	}
	p := r.opened(sent.From)
	switch {
	case p == nil:
		return taken, nil, errEarly
	case p.End != nil || p.held() && p.Sequence != sequence: // a second copy of a message
		return taken, nil, errStale
	}
	if p.held() && !present(p.Worker) {
		r.Lost++ // its worker has died
	}
	now := o.Now().UTC()
	switch {
	case r.Lost >= o.Attempts:
		r.Dead = true
		r.stop(Failed, died(r), now)
		return *p, nil, nil
	case r.Cancel:
		end := cancelled()
		p.End = &end
		r.settle(now)
		return *p, nil, nil
	case slices.Contains(p.Tried, w.Worker) && w.Other != nil && w.Other(r, *p):
		return taken, nil, errUnable
	}
	if w.Most != nil {
		rest = r.split(sent.From, w.Most(r, p.To-p.From))
		p = r.piece(sent.From)
	}
	if r.State == Queued {
		r.Started = now
	}
	r.Claims++
	p.Claim, p.Sequence, p.Worker = r.Claims, sequence, w.Worker
	r.Worker = w.Worker
	r.settle(now)
	return *p, rest, nil
}

// Alive tells that the worker still has the run. Now and then it looks whether that is so: a message about it may have been lost.
func (c *Claim) Alive() error {
	if c.alive++; c.alive%lookAlive == 0 && !c.q.follows() {
		go c.q.look(c.Owner, c.ID)
	}
	return c.msg.InProgress()
}

// lookAlive is how many calls of Alive there are for each look.
const lookAlive = 4

// Cancelled reports whether the piece is to be given up, or belongs to another worker by now. moved is closed when that may change.
func (c *Claim) Cancelled() (cancel, lost bool, moved <-chan struct{}) {
	r, moved, ok := c.q.index.watch(c.Owner, c.ID)
	if !ok || r.Turn == c.Turn && r.Claims < c.Piece.Claim {
		return false, false, moved // the index is late
	}
	return r.Cancel, !c.mine(&r), moved
}

// mine reports whether the claim still counts.
func (c *Claim) mine(r *Record) bool {
	p := r.piece(c.Piece.From)
	return r.State == Running && r.Turn == c.Turn && p != nil && p.held() && p.Claim == c.Piece.Claim
}

// ended reports whether this claim has ended its piece.
func (c *Claim) ended(r *Record) bool {
	p := r.piece(c.Piece.From)
	return r.Turn == c.Turn && p != nil && p.End != nil && p.Claim == c.Piece.Claim
}

// own changes the record where this claim still counts.
func (c *Claim) own(ctx context.Context, change func(r *Record, p *Piece)) (Record, error) {
	c.let() // what comes now is this change
	known := c.known
	c.known = nil
	r, _, err := c.q.update(ctx, c.Owner, c.ID, "", known, func(r *Record) error {
		if !c.mine(r) {
			return ErrLost
		}
		change(r, r.piece(c.Piece.From))
		r.settle(c.q.o.Now().UTC())
		return nil
	})
	return r, err
}

// Finish ends the piece, and the run with its last one. Its pictures must be kept, and its events told. seeds, where there are any, are
// the first ones of the run's jobs.
func (c *Claim) Finish(ctx context.Context, end End, seeds []int64) error {
	r, err := c.own(ctx, func(r *Record, p *Piece) {
		p.End = &end
		if len(seeds) > 0 {
			r.Seeds = seeds
		}
	})
	switch {
	case errors.Is(err, ErrLost) && c.ended(&r): // an earlier try did it, but was not answered
	case errors.Is(err, ErrLost) || errors.Is(err, ErrNotFound):
		return ErrLost
	case err != nil:
		return err
	}
	if r.State.Ended() {
		c.q.finish(ctx, r)
	}
	return c.msg.DoubleAck(ctx)
}

// GiveBack gives the piece back to the queue as if it had not been taken. It comes again after a pause. unable: it does not come
// to this worker, which cannot make it, as long as there is another one.
func (c *Claim) GiveBack(ctx context.Context, pause time.Duration, unable bool) error {
	_, err := c.own(ctx, func(_ *Record, p *Piece) {
		if unable && !slices.Contains(p.Tried, p.Worker) {
			p.Tried = append(p.Tried, p.Worker)
		}
		p.Claim, p.Worker = 0, ""
	})
	if err != nil {
		return err
	}
	return errors.Join(c.msg.NakWithDelay(pause), c.q.nc.Publish(c.lane().wake(), []byte(c.lane().path())))
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
	if len(parts) < 4 {
		return "", ""
	}
	return parts[1], parts[3]
}
