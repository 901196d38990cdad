package durable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Event is something that happened to a run.
type Event struct {
	ID   uint64          // grows; 0: it is not kept, and comes only to those who listen
	Name string          // such as "image"
	Data json.RawMessage // an object
}

// eventName is the header of an event's name.
const eventName = "Daguerre-Event"

// The names of the last event of a run.
const (
	eventDone  = "done"
	eventError = "error"
)

// Last reports whether the event is the last one of its run.
func (e Event) Last() bool { return e.Name == eventDone || e.Name == eventError }

// Show tells an event to those who listen now. It is not kept.
func (q *Queue) Show(owner, id, name string, body any) error {
	m, err := message(liveSubject(owner, id), name, body)
	if err != nil {
		return err
	}
	return q.nc.PublishMsg(m)
}

func message(subject, name string, body any) (*nats.Msg, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	m := nats.NewMsg(subject)
	m.Header.Set(eventName, name)
	m.Data = data
	return m, nil
}

// ended is the body of the last event.
type ended struct {
	State   State    `json:"state"`
	Images  int      `json:"images"`
	Failed  int      `json:"failed"`
	Seeds   []int64  `json:"seeds,omitempty"`
	Seconds float64  `json:"seconds"` // since it was accepted
	Error   *Failure `json:"error,omitempty"`
}

// finish tells the last event of a run, once. Nothing is done about a failure: who follows the run looks at its record, too.
func (q *Queue) finish(ctx context.Context, r Record) {
	name := eventDone
	if r.State != Done {
		name = eventError
	}
	m, err := message(eventSubject(r.Owner, r.ID), name, endOf(r))
	if err == nil {
		_, err = q.js.PublishMsg(ctx, m, jetstream.WithMsgID(fmt.Sprintf("%s.%d.end", r.ID, r.Turn)))
	}
	if err != nil {
		q.o.Log.Warn("the end of a run could not be told", "run", r.ID, "error", err)
	}
}

func endOf(r Record) ended {
	return ended{r.State, r.Made, r.Failed, r.Seeds, r.Ended.Sub(r.Created).Seconds(), r.Error}
}

// Past returns the kept events of a run after one, in their order.
func (q *Queue) Past(ctx context.Context, owner, id string, after uint64) (list []Event, err error) {
	for next := after + 1; ; {
		m, err := q.events.GetMsg(ctx, next, jetstream.WithGetMsgSubject(eventSubject(owner, id)))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, Event{m.Sequence, m.Header.Get(eventName), m.Data})
		next = m.Sequence + 1
	}
}

// Follow tells all events of a run after one, those that come later among them, until the last one or the end of ctx. It tells nothing
// where the run has ended and nothing follows. A slow listener loses events that are not kept.
func (q *Queue) Follow(ctx context.Context, owner, id string, after uint64, tell func(Event) error) error {
	f := follower{q: q, owner: owner, id: id, after: after, tell: tell}
	for {
		r, moved, ok := q.index.watch(owner, id)
		if !ok {
			return ErrNotFound
		}
		if r.State.Ended() {
			return f.past(ctx, r)
		}
		if ended, err := f.listen(ctx, moved); ended || err != nil {
			return err
		}
	}
}

// follower is one listener.
type follower struct {
	q         *Queue
	owner, id string
	after     uint64
	tell      func(Event) error
}

// past tells what is kept of a run that has ended.
func (f *follower) past(ctx context.Context, r Record) error {
	first := f.after == 0
	list, err := f.q.Past(ctx, f.owner, f.id, f.after)
	if err != nil {
		return err
	}
	last := false
	for _, e := range list {
		f.after, last = e.ID, e.Last()
		if err := f.tell(e); err != nil {
			return err
		}
	}
	if last || !first && len(list) == 0 {
		return nil
	}
	return f.q.tellEnd(r, f.tell) // its worker died before it told of it
}

// endGrace is for how long the last event of a run may be late.
const endGrace = 2 * time.Second

// listen tells what happens until the last event, or until the run has ended without one.
func (f *follower) listen(ctx context.Context, moved <-chan struct{}) (ended bool, err error) {
	live := make(chan *nats.Msg, 256)
	sub, err := f.q.nc.ChanSubscribe(liveSubject(f.owner, f.id), live)
	if err != nil {
		return false, err
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection may be gone
	kept := make(chan Event)
	done := make(chan struct{})
	defer close(done)
	consumer, err := f.q.js.OrderedConsumer(ctx, eventStream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{eventSubject(f.owner, f.id)}, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: f.after + 1})
	if err != nil {
		return false, err
	}
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		meta, err := m.Metadata()
		if err != nil {
			return
		}
		select {
		case kept <- Event{meta.Sequence.Stream, m.Headers().Get(eventName), m.Data()}:
		case <-done:
		}
	})
	if err != nil {
		return false, err
	}
	defer consuming.Stop()
	var late <-chan time.Time
	for {
		select {
		case e := <-kept:
			f.after = e.ID
			if err := f.tell(e); err != nil {
				return false, err
			}
			if r, _, ok := f.q.index.get(f.owner, f.id); e.Last() && (!ok || r.State.Ended()) {
				return true, nil
			}
		case m := <-live:
			if err := f.tell(Event{Name: m.Header.Get(eventName), Data: m.Data}); err != nil {
				return false, err
			}
		case <-moved:
			var r Record
			var ok bool
			if r, moved, ok = f.q.index.watch(f.owner, f.id); !ok {
				return true, ErrNotFound
			}
			if r.State.Ended() && late == nil {
				late = time.After(endGrace)
			}
		case <-late:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// tellEnd tells the end of a run from its record.
func (q *Queue) tellEnd(r Record, tell func(Event) error) error {
	name := eventDone
	if r.State != Done {
		name = eventError
	}
	data, err := json.Marshal(endOf(r))
	if err != nil {
		return err
	}
	return tell(Event{Name: name, Data: data})
}

// Preview keeps how a picture stands, as a picture's file, until the next one.
func (q *Queue) Preview(ctx context.Context, owner, id string, file []byte) error {
	if len(file) > maxPreview {
		return nil
	}
	_, err := q.previews.Put(ctx, key(owner, id), file)
	return err
}

// Current returns the last preview of a run, and its number.
func (q *Queue) Current(ctx context.Context, owner, id string) (file []byte, number string, err error) {
	e, err := q.previews.Get(ctx, key(owner, id))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, "", ErrNotFound
	}
	if err != nil {
		return nil, "", err
	}
	return e.Value(), strconv.FormatUint(e.Revision(), 10), nil
}
