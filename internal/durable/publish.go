package durable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The headers of a batch, https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-50.md
const (
	batchID     = "Nats-Batch-Id"
	batchPlace  = "Nats-Batch-Sequence"
	batchCommit = "Nats-Batch-Commit"
)

// Sizes of batches. NATS takes up to 1000 messages, and makes a store of its own for each batch: a few messages are faster one by one.
const (
	minTogether      = 9
	maxTogether      = 200
	maxTogetherBytes = 2 << 20
)

// publisher puts messages into the work stream. What comes while it waits for the disk is put there together: one sync for all. Each
// message is kept when send returns.
type publisher struct {
	q     *Queue
	in    chan *sending
	ended chan struct{} // closed when nothing is sent any more
}

// sending is a message on its way. It has a Nats-Msg-Id.
type sending struct {
	m    *nats.Msg
	done chan error
}

// send keeps a message; errTwice: a message with its id is there already.
func (p *publisher) send(ctx context.Context, subject, id string, data []byte) error {
	s := &sending{m: nats.NewMsg(subject), done: make(chan error, 1)}
	s.m.Header.Set(jetstream.MsgIDHeader, id)
	s.m.Data = data
	select {
	case p.in <- s:
	case <-p.ended:
		return nats.ErrConnectionClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-s.done:
		return err
	case <-ctx.Done(): // nobody knows whether it was kept
		return ctx.Err()
	}
}

// run sends until ctx ends.
func (p *publisher) run(ctx context.Context) {
	defer close(p.ended)
	var next *sending // has to wait for its turn
	for {
		first := next
		if first == nil {
			select {
			case first = <-p.in:
			case <-ctx.Done():
				return
			}
		}
		var list []*sending
		list, next = p.gather(first)
		if ctx.Err() == nil {
			p.put(ctx, list)
		}
		for _, s := range list {
			select {
			case s.done <- ctx.Err(): // it was not answered
			default:
			}
		}
	}
}

// gather takes what waits. next does not fit: it is too large, or has the id of another one.
func (p *publisher) gather(first *sending) (list []*sending, next *sending) {
	list = []*sending{first}
	ids := map[string]bool{first.id(): true}
	for bytes := len(first.m.Data); len(list) < maxTogether; {
		select {
		case s := <-p.in:
			if bytes += len(s.m.Data); bytes > maxTogetherBytes || ids[s.id()] {
				return list, s
			}
			ids[s.id()] = true
			list = append(list, s)
		default:
			return list, nil
		}
	}
	return list, nil
}

func (s *sending) id() string { return s.m.Header.Get(jetstream.MsgIDHeader) }

// put keeps messages: many as one batch. Few go by themselves, and so do those of a batch that the server refuses, because one of them is
// known already for example.
func (p *publisher) put(ctx context.Context, list []*sending) {
	if len(list) >= minTogether && p.q.work.CachedInfo().Config.AllowAtomicPublish {
		err := p.batch(ctx, list)
		refused := &jetstream.APIError{}
		if !errors.As(err, &refused) {
			for _, s := range list {
				s.done <- err
			}
			return
		}
	}
	var each sync.WaitGroup
	for _, s := range list {
		each.Go(func() {
			ack, err := p.q.js.PublishMsg(ctx, s.m)
			if err == nil && ack.Duplicate {
				err = errTwice
			}
			s.done <- err
		})
	}
	each.Wait()
}

// batch keeps messages as one batch: all or none.
func (p *publisher) batch(ctx context.Context, list []*sending) error {
	ctx, cancel := context.WithTimeout(ctx, nats.DefaultTimeout*5)
	defer cancel()
	id := NewID()
	for i, s := range list {
		m := nats.NewMsg(s.m.Subject)
		m.Data = s.m.Data
		m.Header.Set(jetstream.MsgIDHeader, s.id())
		m.Header.Set(batchID, id)
		m.Header.Set(batchPlace, strconv.Itoa(i+1))
		if i < len(list)-1 {
			if err := p.q.nc.PublishMsg(m); err != nil {
				return err
			}
			continue
		}
		m.Header.Set(batchCommit, "1")
		answer, err := p.q.nc.RequestMsgWithContext(ctx, m)
		if err != nil {
			return err
		}
		var ack struct {
			Error *jetstream.APIError `json:"error"`
			Batch string              `json:"batch"`
			Count int                 `json:"count"`
		}
		switch err := json.Unmarshal(answer.Data, &ack); {
		case err != nil:
			return err
		case ack.Error != nil:
			return ack.Error
		case ack.Batch != id || ack.Count != len(list):
			return fmt.Errorf("the queue has kept %d of %d messages", ack.Count, len(list))
		}
	}
	return nil
}
