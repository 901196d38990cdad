package durable

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// slow is what an index holds, without any order.
type slow map[string]Record

// newest lists the ids of some runs, the newest first.
func (s slow) newest(of func(r Record) bool) (ids []string) {
	var list []Record
	for _, r := range s {
		if of(r) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b Record) int { return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(b.ID, a.ID)) })
	for _, r := range list {
		ids = append(ids, r.ID)
	}
	return ids
}

// TestIndex changes runs at random, and asks an index and a slow reference the same questions.
func TestIndex(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	x, want := newIndex(), slow{}
	begin := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	listed := func(owner string, open bool, after Record) (ids []string) {
		x.newest(owner, open, after, func(r *Record) bool { ids = append(ids, r.ID); return true })
		return ids
	}
	for step := range 800 {
		id := fmt.Sprint("r", r.IntN(60))
		now, known := want[id]
		switch {
		case known && r.IntN(4) == 0:
			x.drop(now.Owner, id)
			x.drop("nobody", id)
			delete(want, id)
		default:
			if !known {
				now = Record{ID: id, Owner: []string{"a", "b", "c"}[r.IntN(3)], Created: begin.Add(time.Duration(r.IntN(40)))}
			}
			now.State, now.Priority = States[r.IntN(len(States))], r.IntN(3)
			x.put(now, uint64(step+1))
			x.put(Record{ID: id, Owner: now.Owner, State: Done}, uint64(step)) // it is late
			x.put(Record{ID: id, Owner: "another", State: Done}, uint64(step+2))
			want[id] = now
		}
		for _, owner := range []string{"", "a", "b"} {
			mine := func(r Record) bool { return owner == "" || r.Owner == owner }
			open := func(r Record) bool { return mine(r) && !r.State.Ended() }
			all := want.newest(mine)
			require.Equal(t, all, listed(owner, false, Record{}))
			require.Equal(t, want.newest(open), listed(owner, true, Record{}))
			if len(all) > 2 {
				require.Equal(t, all[2:], listed(owner, false, want[all[1]]))
			}
			n, sum := x.unfinished(owner)
			require.Equal(t, []int{len(want.newest(open)), len(want.newest(func(r Record) bool { return !r.State.Ended() }))}, []int{n, sum})
		}
		if now, ok := want[id]; ok {
			got, _, ok := x.get(now.Owner, id)
			require.True(t, ok)
			require.Equal(t, now, got)
			ahead := want.newest(func(r Record) bool {
				older := byAge(&entry{Record: r}, &entry{Record: now}) < 0
				return r.State == Queued && (r.Priority > now.Priority || r.Priority == now.Priority && older)
			})
			require.Equal(t, len(ahead), x.ahead(now.Priority, now.Created, now.ID))
		}
	}
	for id, r := range want {
		x.drop(r.Owner, id)
	}
	assert.Empty(t, x.owners)
	assert.Empty(t, x.open)
	assert.Empty(t, x.waiting)
	assert.Empty(t, x.runs)
}

// TestIndexTells waits for a change of a run, and for its end.
func TestIndexTells(t *testing.T) {
	x := newIndex()
	x.put(Record{ID: "1", Owner: "a", State: Queued}, 0)
	_, moved, ok := x.watch("a", "1")
	require.True(t, ok)
	x.put(Record{ID: "1", Owner: "a", State: Running}, 1)
	<-moved
	_, moved, _ = x.watch("a", "1")
	_, same, _ := x.watch("a", "1")
	x.drop("a", "1")
	<-moved
	<-same
	_, _, ok = x.watch("a", "1")
	assert.False(t, ok)
}

// BenchmarkIndex asks what clients ask again and again, among 100,000 runs of which half wait.
func BenchmarkIndex(b *testing.B) {
	x := newIndex()
	begin := time.Now()
	for i := range 100_000 {
		state := Done
		if i%2 == 0 {
			state = Queued
		}
		x.put(Record{ID: fmt.Sprint("r", i), Owner: "a", State: state, Created: begin.Add(time.Duration(i))}, 1)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		id := fmt.Sprint("r", 2*(i%50_000))
		r, _, _ := x.get("a", id)
		x.ahead(0, r.Created, id)
		n := 0
		x.newest("a", true, Record{}, func(*Record) bool { n++; return n < 20 })
	}
}
