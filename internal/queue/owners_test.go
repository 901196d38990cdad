package queue

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOwnersShare has an owner of many jobs and one of few, who comes later: they take turns, and the second one gets no more for having
// come late.
func TestOwnersShare(t *testing.T) {
	r := &tester{max: 1}
	m := start(t, Options{Paused: true}, r)
	var all [12]results
	var jobs []*Job[int, string]
	add := func(owner string, value int) {
		s := all[len(jobs)].spec("k", value)
		s.Owner = owner
		jobs = append(jobs, submit(t, m, s))
	}
	for range 8 {
		add("many", 1)
	}
	m.mu.Lock()
	m.owners["many"] = 100 // it has got much before
	m.mu.Unlock()
	for range 4 {
		add("few", 2)
	}
	m.Resume()
	for _, j := range jobs {
		require.NoError(t, j.Wait(t.Context()))
	}
	var order []int
	for _, b := range r.batches() {
		order = append(order, b[0])
	}
	assert.Equal(t, []int{1, 2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1}, order)
	m.mu.Lock()
	defer m.mu.Unlock()
	assert.Empty(t, m.owners, "who has no jobs is forgotten")
}
