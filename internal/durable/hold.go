package durable

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

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
			if revision, ok := q.changes(owner, id, m.Data); ok {
				q.lookAfter(owner, id, revision)
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

// changes reports whether a run would change so that its workers have to know it. revision is what is known of it.
func (q *Queue) changes(owner, id string, data []byte) (revision uint64, ok bool) {
	var r Record
	known, revision, ok := q.index.get(owner, id)
	if !ok || json.Unmarshal(data, &r) != nil {
		return revision, ok
	}
	return revision, r.Cancel != known.Cancel || r.Turn != known.Turn || r.State.Ended() || r.Lost != known.Lost
}

// lookFirst and lookLast are the shortest and the longest pause between two looks.
const (
	lookFirst = 10 * time.Millisecond
	lookLast  = time.Second
)

// lookAfter reads a run that is held until it is another one than at a revision: what was published comes here before the servers of the
// cluster have agreed on it, if they do.
func (q *Queue) lookAfter(owner, id string, revision uint64) {
	for pause := lookFirst; pause <= lookLast; pause *= 2 {
		q.look(owner, id)
		if _, now, ok := q.index.get(owner, id); !ok || now > revision {
			return
		}
		time.Sleep(pause)
	}
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
