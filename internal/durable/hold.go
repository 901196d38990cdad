package durable

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// holdings are the runs that this process has in work, where it does not follow all of them.
type holdings struct {
	mu   sync.Mutex
	runs map[string]*holding // by key
}

// holding is one run; several of its pieces may be here.
type holding struct {
	pieces int
	sub    *nats.Subscription
}

// keySubject is where changes of a run's key are published.
func keySubject(owner, id string) string { return "$KV." + runBucket + "." + key(owner, id) }

// hold keeps a run in the index until let is called as often as hold.
func (q *Queue) hold(owner, id string) (let func(), err error) {
	if q.follows() {
		return func() {}, nil
	}
	k := key(owner, id)
	q.held.mu.Lock()
	defer q.held.mu.Unlock()
	h := q.held.runs[k]
	if h == nil {
		h = &holding{}
		// The server passes on to others what is published for the bucket. It may still refuse it, so the key is read.
		h.sub, err = q.nc.Subscribe(keySubject(owner, id), func(m *nats.Msg) {
			if q.changes(owner, id, m.Data) {
				q.look(owner, id)
			}
		})
		if err != nil {
			return nil, err
		}
		if q.held.runs == nil {
			q.held.runs = map[string]*holding{}
		}
		q.held.runs[k] = h
	}
	h.pieces++
	return sync.OnceFunc(func() {
		q.held.mu.Lock()
		defer q.held.mu.Unlock()
		if h.pieces--; h.pieces == 0 {
			_ = h.sub.Unsubscribe() // the connection may be gone
			delete(q.held.runs, k)
			q.index.drop(owner, id)
		}
	}), nil
}

// changes reports whether a run would change so that its workers have to know it.
func (q *Queue) changes(owner, id string, data []byte) bool {
	var r Record
	if json.Unmarshal(data, &r) != nil {
		return true
	}
	known, _, ok := q.index.get(owner, id)
	return ok && (r.Cancel != known.Cancel || r.Turn != known.Turn || r.State.Ended() || r.Lost != known.Lost)
}

// look reads a run that is held.
func (q *Queue) look(owner, id string) {
	ctx, cancel := context.WithTimeout(context.Background(), ackTime)
	defer cancel()
	if r, revision, err := q.read(ctx, owner, id, ""); err == nil {
		q.note(r, revision)
	}
}

// note takes in a run as it is now, if this process is to know it.
func (q *Queue) note(r Record, revision uint64) {
	if q.follows() {
		q.index.put(r, revision)
		return
	}
	q.held.mu.Lock()
	defer q.held.mu.Unlock()
	if q.held.runs[key(r.Owner, r.ID)] != nil {
		q.index.put(r, revision)
	}
}

// isThere reports whether a worker is there. One of which the queue does not say that it is gone counts as there.
func (q *Queue) isThere(ctx context.Context, worker string) bool {
	if q.follows() {
		return q.present.has(worker)
	}
	_, err := q.workers.Get(ctx, workerKey(worker))
	return !errors.Is(err, jetstream.ErrKeyNotFound)
}
