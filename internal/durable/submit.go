package durable

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Sizes of messages, in bytes.
const (
	maxMessage = 8 << 20
	maxPreview = 1 << 20
	// MaxRun is the longest Record.Run; a longer one goes into the store.
	MaxRun = 256 << 10
)

// The errors of a Queue.
var (
	ErrNotFound = errors.New("there is no such run")
	ErrState    = errors.New("the run's state does not allow it")
	ErrOther    = errors.New("another run was submitted under the key")
)

// Submit queues a run. It is kept when Submit returns. keyed: its id may be that of a run that is there already, which is not queued again
// then: fresh is false, and the record is that of the one that is there.
func (q *Queue) Submit(ctx context.Context, r Record, keyed bool) (kept Record, fresh bool, err error) {
	r.State, r.Created = Queued, q.o.Now().UTC()
	for {
		if keyed {
			if old, err := q.Get(ctx, r.Owner, r.ID); err == nil {
				return same(old, r)
			} else if !errors.Is(err, ErrNotFound) {
				return old, false, err
			}
		}
		if err = q.push(ctx, r); !errors.Is(err, errTwice) || !keyed || r.Turn > 0 {
			return r, err == nil, err
		}
		if old, err := q.Get(ctx, r.Owner, r.ID); err == nil {
			return same(old, r)
		}
		r.Turn++ // the one that had the key was removed a short time ago
	}
}

// same returns the run that is there, unless something else is asked for now.
func same(old, r Record) (Record, bool, error) {
	if old.Digest != r.Digest {
		return old, false, ErrOther
	}
	return old, false, nil
}

// errTwice is returned by push where the message is known already.
var errTwice = errors.New("the run is queued already")

// push puts the message of a run's turn into its lane.
func (q *Queue) push(ctx context.Context, r Record) error {
	if err := q.openLane(ctx, r.lane()); err != nil {
		return err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := q.publisher.send(ctx, r.lane().subject(r.ID, r.From), turnID(r), data); err != nil {
		return err
	}
	if r.From == 0 {
		q.note(r, 0)
	}
	return q.nc.Publish(r.lane().wake(), []byte(r.lane().path()))
}

// pushPiece puts the message of a piece into the run's lane. The run itself is in its key.
func (q *Queue) pushPiece(ctx context.Context, r Record, from int) error {
	return q.push(ctx, Record{ID: r.ID, Owner: r.Owner, Created: r.Created, State: Queued, Priority: r.Priority, Model: r.Model, Turn: r.Turn,
		From: from})
}

// openLane makes a lane known to all workers.
func (q *Queue) openLane(ctx context.Context, l Lane) error {
	if q.known.has(l) {
		return nil
	}
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if _, err := q.lanes.Put(ctx, l.path(), data); err != nil {
		return err
	}
	q.known.add(l)
	return nil
}

// Get returns all that is kept of a run.
func (q *Queue) Get(ctx context.Context, owner, id string) (Record, error) {
	r, _, err := q.read(ctx, owner, id, "")
	return r, err
}

// Look returns a run without its Options, Changes and Digest. It asks the queue only where this process does not know all the rest.
func (q *Queue) Look(ctx context.Context, owner, id string) (Record, error) {
	if r, ok := q.index.whole(owner, id); ok {
		return r, nil
	}
	return q.Get(ctx, owner, id)
}

// read returns a run with the revision of its key; 0: it waits, and has none. place is the subject of its message; empty: it is looked for.
func (q *Queue) read(ctx context.Context, owner, id, place string) (r Record, revision uint64, err error) {
	for try := 0; ; try++ {
		e, err := q.runs.Get(ctx, key(owner, id))
		if err == nil {
			return r, e.Revision(), jsonOf(e.Value(), &r)
		}
		if !errors.Is(err, jetstream.ErrKeyNotFound) {
			return r, 0, err
		}
		m, err := q.work.GetLastMsgForSubject(ctx, cmp.Or(place, q.place(owner, id)))
		switch {
		case err == nil:
			return r, 0, jsonOf(m.Data, &r)
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return r, 0, err
		case try > 0: // a worker may have taken it between the two
			return r, 0, ErrNotFound
		}
	}
}

// place is the subject of a run's message, as far as it is known.
func (q *Queue) place(owner, id string) string {
	if known, revision, ok := q.index.get(owner, id); ok && revision == 0 { // it was not moved
		return known.lane().subject(id, 0)
	}
	return workRoot + "*." + owner + ".*." + id
}

func jsonOf(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("what is kept of the run: %w", err)
	}
	return nil
}

// Summary returns what this process knows of a run, without what is long: its Run, Options, Changes and Digest.
func (q *Queue) Summary(owner, id string) (Record, error) {
	r, _, ok := q.index.get(owner, id)
	if !ok {
		return r, ErrNotFound
	}
	return r, nil
}

// Find is Summary for those who do not know the owner.
func (q *Queue) Find(id string) (Record, error) {
	r, ok := q.index.find(id)
	if !ok {
		return r, ErrNotFound
	}
	return r, nil
}

// Newest calls f with the summaries of an owner's runs, the newest first, until f returns false; with all owners' where it is empty. open:
// only with runs that have not ended. It begins after the run that was created at a time and has an id; with an empty id, at the newest.
// f must be quick, and must not keep the record.
func (q *Queue) Newest(owner string, open bool, created time.Time, id string, f func(r *Record) bool) {
	q.index.newest(owner, open, Record{Created: created, ID: id}, f)
}

// Ahead counts the runs that wait and have a higher priority than one, or the same and are older.
func (q *Queue) Ahead(r Record) int { return q.index.ahead(r.Priority, r.Created, r.ID) }

// Each calls f with the summary of every run, in no order. f must be quick, and must not keep the record.
func (q *Queue) Each(f func(r *Record)) { q.index.each(f) }

// Unfinished counts the runs that have not ended: an owner's, and all.
func (q *Queue) Unfinished(owner string) (mine, all int) { return q.index.unfinished(owner) }

// Wait waits until a run has ended and returns its summary.
func (q *Queue) Wait(ctx context.Context, owner, id string) (Record, error) {
	for {
		r, moved, ok := q.index.watch(owner, id)
		switch {
		case !ok:
			return r, ErrNotFound
		case r.State.Ended():
			return r, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return r, ctx.Err()
		}
	}
}

// Update changes a run's record. change may be called again where others change it meanwhile; it may look at the record only. An error of
// it ends Update.
func (q *Queue) Update(ctx context.Context, owner, id string, change func(r *Record) error) (Record, error) {
	r, _, err := q.update(ctx, owner, id, "", nil, change)
	return r, err
}

// kept is a run as its key was at a revision.
type kept struct {
	Record
	revision uint64
}

// update is Update that returns the key's revision, too. place is as read has it. The first try is with what was known at last, which is
// read again where others have changed it; nil: nothing is known.
func (q *Queue) update(ctx context.Context, owner, id, place string, known *kept,
	change func(r *Record) error) (r Record, revision uint64, err error) {
	for {
		if known != nil {
			r, revision, known = known.Record, known.revision, nil
			r.Pieces = slices.Clone(r.Pieces)
		} else if r, revision, err = q.read(ctx, owner, id, place); err != nil {
			return r, 0, err
		}
		before := r.State
		if err := change(&r); err != nil {
			return r, revision, err
		}
		if !before.may(r.State) {
			return r, revision, fmt.Errorf("%w: it is %s", ErrState, before)
		}
		data, err := json.Marshal(r)
		if err != nil {
			return r, revision, err
		}
		if revision == 0 {
			revision, err = q.runs.Create(ctx, key(owner, id), data)
		} else {
			revision, err = q.runs.Update(ctx, key(owner, id), data, revision)
		}
		switch {
		case err == nil:
			q.note(r, revision)
			return r, revision, nil
		case !isConflict(err):
			return r, revision, err
		}
	}
}

// isConflict reports whether another has changed the key meanwhile.
func isConflict(err error) bool {
	if errors.Is(err, jetstream.ErrKeyExists) {
		return true
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}
