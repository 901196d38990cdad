package durable

import (
	"cmp"
	"slices"
	"sync"
)

// index is what this process knows of all runs: their records without what is long. It follows the streams, and is a copy only.
type index struct {
	mu      sync.Mutex
	runs    map[string]*entry            // by key
	owners  map[string]map[string]*entry // by owner and key
	open    map[string]int               // runs that have not ended, by owner
	sum     int                          // of open
	changed chan struct{}                // closed, and replaced, when something changes
}

// entry is a run in the index.
type entry struct {
	Record
	revision uint64        // of the key; 0: it is only in the work stream
	moved    chan struct{} // closed, and replaced, when the run changes
}

func newIndex() *index {
	return &index{runs: map[string]*entry{}, owners: map[string]map[string]*entry{}, open: map[string]int{}, changed: make(chan struct{})}
}

// put takes a record in, unless a later one is known.
func (x *index) put(r Record, revision uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	k := key(r.Owner, r.ID)
	e := x.runs[k]
	if e != nil && (revision < e.revision || revision == 0) {
		return
	}
	if e == nil {
		e = &entry{moved: make(chan struct{})}
		x.runs[k] = e
		if x.owners[r.Owner] == nil {
			x.owners[r.Owner] = map[string]*entry{}
		}
		x.owners[r.Owner][k] = e
	}
	x.count(e, -1)
	e.Record, e.revision = r.summary(), revision
	x.count(e, 1)
	x.tell(e)
}

// drop forgets a run.
func (x *index) drop(owner, id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	k := key(owner, id)
	if e := x.runs[k]; e != nil {
		delete(x.runs, k)
		x.count(e, -1)
		if delete(x.owners[owner], k); len(x.owners[owner]) == 0 {
			delete(x.owners, owner)
		}
		x.tell(e)
	}
}

// count counts a run that has not ended. The mutex is held.
func (x *index) count(e *entry, n int) {
	if e.State == "" || e.State.Ended() {
		return
	}
	x.sum += n
	if x.open[e.Owner] += n; x.open[e.Owner] == 0 {
		delete(x.open, e.Owner)
	}
}

// tell wakes those who wait. The mutex is held.
func (x *index) tell(e *entry) {
	close(e.moved)
	e.moved = make(chan struct{})
	close(x.changed)
	x.changed = make(chan struct{})
}

// get returns what is known of a run, and what is closed when that changes.
func (x *index) get(owner, id string) (r Record, moved <-chan struct{}, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.runs[key(owner, id)]; e != nil {
		return e.Record, e.moved, true
	}
	return r, nil, false
}

// all returns the runs of an owner, or of all owners where it is empty, and what is closed when something changes.
func (x *index) all(owner string) (list []Record, changed <-chan struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	from := x.runs
	if owner != "" {
		from = x.owners[owner]
	}
	list = make([]Record, 0, len(from))
	for _, e := range from {
		list = append(list, e.Record)
	}
	return list, x.changed
}

// byAge sorts records, the newest first.
func byAge(list []Record) {
	slices.SortFunc(list, func(a, b Record) int { return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(b.ID, a.ID)) })
}

// unfinished counts the runs that have not ended: an owner's, and all.
func (x *index) unfinished(owner string) (mine, all int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.open[owner], x.sum
}

// each calls f with every run. f must be quick, and must not keep the record.
func (x *index) each(f func(r *Record)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.runs {
		f(&e.Record)
	}
}
