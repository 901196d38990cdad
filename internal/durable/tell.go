package durable

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// told are the events of a claim that the queue has not acknowledged yet.
type told struct {
	mu   sync.Mutex // held while Told waits: nothing is told any more then
	list []telling
}

// telling is an event on its way.
type telling struct {
	m   *nats.Msg
	ack jetstream.PubAckFuture // nil: it failed
}

// ackTime is how long the queue has to acknowledge an event. Without a limit it could be forever: the server may have died.
const ackTime = 10 * time.Second

// Tell keeps an event of the run. once, where set, tells it from the run's others: a second one with it is dropped. It does not wait until
// the event is kept; Told does.
func (c *Claim) Tell(name, once string, body any) error {
	m, err := message(eventSubject(c.Owner, c.ID), name, body)
	if err != nil {
		return err
	}
	m.Header.Set(jetstream.MsgIDHeader, c.ID+"."+cmp.Or(once, NewID())) // what is told again is dropped if it was kept after all
	ack, err := c.q.js.PublishMsgAsync(m)
	if err != nil {
		return err
	}
	c.told.mu.Lock()
	defer c.told.mu.Unlock()
	c.told.list = append(c.told.list, telling{m, ack})
	return nil
}

// Told waits until all that was told is kept. What the queue has not acknowledged it tells again. Where it fails, it may be called again.
func (c *Claim) Told(ctx context.Context) error {
	c.told.mu.Lock()
	defer c.told.mu.Unlock()
	for len(c.told.list) > 0 {
		t := &c.told.list[0]
		if t.ack != nil {
			select {
			case <-t.ack.Ok():
				c.told.list = c.told.list[1:]
				continue
			case err := <-t.ack.Err():
				c.q.o.Log.Debug("an event is told again", "run", c.ID, "error", err)
				t.ack = nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if _, err := c.q.js.PublishMsg(ctx, t.m); err != nil {
			return err
		}
		c.told.list = c.told.list[1:]
	}
	return nil
}
