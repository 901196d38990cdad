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
	for {
		q.requeue(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
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

// requeue queues runs that wait, as their key says, but have no message: the process that moved them to another lane died in between. It
// forgets runs that were heard of, but are not kept: the message could not be stored, and who sent it was told so.
func (q *Queue) requeue(ctx context.Context) {
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
		r.State, r.Dead, r.Ended = Failed, true, q.o.Now().UTC()
		r.Error = &Failure{Code: "worker_died", Message: "the run was handed out too often without an end; it is not tried again"}
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
