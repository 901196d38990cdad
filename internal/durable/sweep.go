package durable

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// sweepEvery is how often what has been left behind is looked for.
const sweepEvery = 30 * time.Second

// sweep does what nobody else does: it forgets runs that ended long ago, queues runs again whose message is missing because a process died
// between two writes, and buries runs whose message JetStream has given up. Several processes may do it at once.
func (q *Queue) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	q.ended.Go(func() { q.hearAdvice(ctx) })
	late := time.NewTicker(lateEvery)
	defer late.Stop()
	q.requeue(ctx)
	for {
		select {
		case <-late.C:
			q.endLate(ctx)
		case <-tick.C:
			q.requeue(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// Runs whose deadline has passed are looked for every lateEvery. Workers end a run at its deadline themselves; the queue does it where one
// has said nothing for lateGrace after that: it hangs, or nobody has taken the run.
const (
	lateEvery = time.Second
	lateGrace = 3 * time.Second
)

// endLate ends the runs whose deadline has passed.
func (q *Queue) endLate(ctx context.Context) {
	now := q.o.Now().UTC()
	for _, s := range q.index.late(now.Add(-lateGrace)) {
		r, err := q.Update(ctx, s.Owner, s.ID, func(r *Record) error {
			if r.State.Ended() || r.Deadline.IsZero() || r.Deadline.After(now) {
				return errStale
			}
			r.stop(Failed, &Failure{Code: codeDeadline, Message: "the run was not finished before its deadline"}, now)
			return nil
		})
		if err == nil {
			q.finish(ctx, r)
			err = q.unqueue(ctx, r.lane(), r.ID)
		}
		if err != nil && !errors.Is(err, errStale) && !errors.Is(err, ErrNotFound) {
			q.o.Log.Warn("a run whose deadline has passed could not be ended", "run", s.ID, "error", err)
		}
	}
}

// Old lists the runs that ended longer ago than they are to be kept. Who keeps pictures of them removes these first.
func (q *Queue) Old() (list []Record) {
	before := q.o.Now().Add(-q.o.Keep)
	q.Each(func(r *Record) {
		if r.State.Ended() && r.Ended.Before(before) {
			list = append(list, *r)
		}
	})
	return list
}

// repush queues pieces again that wait, but have no message: the worker that split them off died in between.
func (q *Queue) repush(ctx context.Context) {
	var list []Record
	q.index.newest("", true, Record{}, func(r *Record) bool {
		if len(r.Pieces) > 1 {
			list = append(list, *r)
		}
		return true
	})
	for _, r := range list {
		for _, p := range r.Pieces {
			if p.End != nil || p.held() || p.From == 0 {
				continue
			}
			_, err := q.work.GetLastMsgForSubject(ctx, r.lane().subject(r.ID, p.From))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				if err := q.pushPiece(ctx, r, p.From); err == nil {
					q.o.Log.Info("a piece of a run was queued again whose message was missing", "run", r.ID, "from", p.From)
				}
			}
		}
	}
}

// requeue queues runs that wait, as their key says, but have no message: the process that moved them to another lane died in between. It
// forgets runs that were heard of, but are not kept: the message could not be stored, and who sent it was told so.
func (q *Queue) requeue(ctx context.Context) {
	q.repush(ctx)
	var list []Record
	q.Each(func(r *Record) {
		if r.State == Queued && (r.Turn > 0 || !q.checked[r.ID]) && q.o.Now().Sub(r.Created) > sweepEvery {
			list = append(list, *r)
		}
	})
	if len(list) == 0 {
		q.checked = map[string]bool{}
	}
	for _, s := range list {
		m, err := q.work.GetLastMsgForSubject(ctx, workRoot+"*."+s.Owner+".*."+s.ID)
		var sent Record
		if err == nil && json.Unmarshal(m.Data, &sent) == nil && sent.Turn == s.Turn {
			q.checked[s.ID] = true
			continue
		}
		r, err := q.Get(ctx, s.Owner, s.ID)
		switch {
		case errors.Is(err, ErrNotFound):
			q.index.drop(s.Owner, s.ID)
		case err == nil && r.State == Queued && r.Turn == s.Turn && r.Turn > 0:
			if err := q.push(ctx, r); err == nil {
				q.o.Log.Info("a run was queued again whose message was missing", "run", r.ID)
			}
		}
	}
}

// advice is what JetStream says of a message that it gives up.
type advice struct {
	Sequence uint64 `json:"stream_seq"`
}

// hearAdvice buries the runs whose messages JetStream gives up.
func (q *Queue) hearAdvice(ctx context.Context) {
	c, err := q.js.CreateOrUpdateConsumer(ctx, adviceStream, jetstream.ConsumerConfig{Durable: "bury", AckPolicy: jetstream.AckExplicitPolicy,
		Replicas: q.o.Replicas})
	if err != nil {
		if ctx.Err() == nil {
			q.o.Log.Warn("nobody hears of messages that are given up", "error", err)
		}
		return
	}
	hearing, err := c.Consume(func(m jetstream.Msg) {
		if err := q.heed(ctx, m); err != nil {
			q.o.Log.Warn("a message that was given up could not be kept", "error", err)
			_ = m.NakWithDelay(poll) // else it comes again later
			return
		}
		_ = m.Ack() // else it comes again
	})
	if err != nil {
		q.o.Log.Warn("nobody hears of messages that are given up", "error", err)
		return
	}
	<-ctx.Done()
	hearing.Stop()
}

// heed buries the run of one message.
func (q *Queue) heed(ctx context.Context, m jetstream.Msg) error {
	var a advice
	if err := json.Unmarshal(m.Data(), &a); err != nil {
		return nil // it tells nothing
	}
	sent, err := q.work.GetMsg(ctx, a.Sequence)
	if err != nil {
		return nil // it was made after all
	}
	owner, id := ownerOf(sent.Subject)
	r, err := q.Update(ctx, owner, id, func(r *Record) error {
		if r.State.Ended() {
			return errStale
		}
		r.Dead = true
		r.stop(Failed, &Failure{Code: codeDied, Message: "the run was handed out too often without an end; it is not tried again"},
			q.o.Now().UTC())
		return nil
	})
	if err == nil {
		if err := q.bury(ctx, r); err != nil {
			return err
		}
		q.finish(ctx, r)
	}
	return q.work.DeleteMsg(ctx, a.Sequence)
}
