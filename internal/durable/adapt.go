package durable

import (
	"encoding/json"

	"github.com/nats-io/nats.go"
)

// SendChange tells the worker that has a run of a change of its adapters. Nobody hears of it where no worker has the run; the change is in
// the record, too (Remember).
func (q *Queue) SendChange(owner, id string, change any) error {
	data, err := json.Marshal(change)
	if err != nil {
		return err
	}
	return q.nc.Publish(askSubject(owner, id), data)
}

// HearChanges calls f with each change for the claim's run until stop is called.
func (c *Claim) HearChanges(f func(change json.RawMessage)) (stop func(), err error) {
	sub, err := c.q.nc.Subscribe(askSubject(c.Owner, c.ID), func(m *nats.Msg) { f(m.Data) })
	if err != nil {
		return nil, err
	}
	return func() { _ = sub.Unsubscribe() }, nil // the connection may be gone
}
