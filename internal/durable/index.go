package durable

import (
	"slices"
	"sync"
	"time"
)

// index is what this process knows of all runs: their records without what is long. It follows the streams, and is a copy only. There may
// be many runs, and many who ask: no question but each looks at all of them.
type index struct {
	mu      sync.Mutex
	runs    map[string]*entry // by id
	owners  groups[string]    // all, by owner; those of everybody under ""
	open    groups[string]    // that have not ended, in the same way
	waiting groups[int]       // that are queued, by priority
	demand  map[Demand]int    // pictures that wait
	working map[string]*entry // that are running, by id
	timed   map[string]*entry // that have a deadline and have not ended, by id
	texts   map[string]string // that many records have, once each
}

// entry is a run in the index.
type entry struct {
	Record
	revision uint64        // of the key; 0: it is only in the work stream
	moved    chan struct{} // closed when the run changes; nil: nobody waits for that
	run      []byte        // Record.Run, while it has not ended and is short: those who wait for it look at it often
}

// shortRun is the longest Record.Run that the index keeps.
const shortRun = 4 << 10

func newIndex() *index {
	return &index{runs: map[string]*entry{}, owners: groups[string]{}, open: groups[string]{}, waiting: groups[int]{},
		timed: map[string]*entry{}, demand: map[Demand]int{}, working: map[string]*entry{}, texts: map[string]string{}}
}

// put takes a record in, unless a later one is known.
func (x *index) put(r Record, revision uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.runs[r.ID]
	switch {
	case e == nil:
		e = &entry{}
		x.runs[r.ID] = e
	case e.Owner != r.Owner || revision <= e.revision:
		return
	default:
		x.leave(e)
	}
	if e.Record, e.revision, e.run = x.lean(r), revision, nil; !r.State.Ended() && len(r.Run) <= shortRun {
		e.run = r.Run
	}
	x.enter(e)
	x.tell(e)
}

// lean is a record as the index keeps it. The mutex is held.
func (x *index) lean(r Record) Record {
	if r = r.summary(); r.State.Ended() {
		r.Pieces = nil
	}
	for _, s := range []*string{&r.Owner, &r.Model, &r.Source, &r.Worker, (*string)(&r.State)} {
		if _, ok := x.texts[*s]; !ok {
			x.texts[*s] = *s
		}
		*s = x.texts[*s]
	}
	return r
}

// drop forgets a run.
func (x *index) drop(owner, id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.of(owner, id); e != nil {
		delete(x.runs, id)
		x.leave(e)
		x.tell(e)
	}
}

// of finds a run. The mutex is held.
func (x *index) of(owner, id string) *entry {
	if e := x.runs[id]; e != nil && e.Owner == owner {
		return e
	}
	return nil
}

// enter puts a run into the lists. The mutex is held.
func (x *index) enter(e *entry) {
	for _, of := range []string{e.Owner, ""} {
		x.owners.add(of, e)
		if !e.State.Ended() {
			x.open.add(of, e)
		}
	}
	switch e.State {
	case Queued:
		x.waiting.add(e.Priority, e)
	case Running:
		x.working[e.ID] = e
	}
	x.want(e, 1)
	if !e.Deadline.IsZero() && !e.State.Ended() {
		x.timed[e.ID] = e
	}
}

// leave takes a run out of the lists. The mutex is held.
func (x *index) leave(e *entry) {
	for _, of := range []string{e.Owner, ""} {
		x.owners.remove(of, e)
		if !e.State.Ended() {
			x.open.remove(of, e)
		}
	}
	if e.State == Queued {
		x.waiting.remove(e.Priority, e)
	}
	x.want(e, -1)
	delete(x.timed, e.ID)
	delete(x.working, e.ID)
}

// tell wakes those who wait. The mutex is held.
func (x *index) tell(e *entry) {
	if e.moved != nil {
		close(e.moved)
		e.moved = nil
	}
}

// get returns what is known of a run, and the revision of its key.
func (x *index) get(owner, id string) (r Record, revision uint64, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.of(owner, id); e != nil {
		return e.Record, e.revision, true
	}
	return r, 0, false
}

// whole is get with Record.Run. It finds only those whose Run is kept here.
func (x *index) whole(owner, id string) (r Record, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.of(owner, id); e != nil && e.run != nil {
		r = e.Record
		r.Run = e.run
		return r, true
	}
	return r, false
}

// find is get for those who do not know the owner.
func (x *index) find(id string) (r Record, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.runs[id]; e != nil {
		return e.Record, true
	}
	return r, false
}

// watch is get with what is closed when the run changes.
func (x *index) watch(owner, id string) (r Record, moved <-chan struct{}, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.of(owner, id)
	if e == nil {
		return r, nil, false
	}
	if e.moved == nil {
		e.moved = make(chan struct{})
	}
	return e.Record, e.moved, true
}

// newest calls f with the runs of an owner, or of all owners where it is empty, the newest first, until f returns false. open: only with
// those that have not ended. Those that are not older than after are passed over, unless its ID is empty. f must be quick, and must not
// keep the record.
func (x *index) newest(owner string, open bool, after Record, f func(r *Record) bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	of := x.owners[owner]
	if open {
		of = x.open[owner]
	}
	n := of.size()
	if after.ID != "" {
		n = of.before(&entry{Record: after})
	}
	if n == 0 {
		return
	}
	for _, e := range slices.Backward(of.list[:n]) {
		if !f(&e.Record) {
			return
		}
	}
}

// ahead counts the runs that wait and have a higher priority than one, or the same and are older.
func (x *index) ahead(priority int, created time.Time, id string) (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for p, of := range x.waiting {
		if p > priority {
			n += len(of.list)
		}
	}
	return n + x.waiting[priority].before(&entry{Record: Record{Created: created, ID: id}})
}

// late lists the runs that should have ended before a time.
func (x *index) late(before time.Time) (list []Record) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.timed {
		if e.Deadline.Before(before) {
			list = append(list, e.Record)
		}
	}
	return list
}

// unfinished counts the runs that have not ended: an owner's, and all.
func (x *index) unfinished(owner string) (mine, all int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.open[owner].size(), x.open[""].size()
}

// each calls f with every run. f must be quick, and must not keep the record.
func (x *index) each(f func(r *Record)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.runs {
		f(&e.Record)
	}
}
