package queue

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOwnersShare has an owner of many jobs and one of few, who comes later: the second one goes first, then they take turns. It gets no
// more for having come late.
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
	m.owners["many"].got, m.owners["many"].served = 100, true // it has got much before
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
	assert.Equal(t, []int{2, 1, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1}, order)
	m.mu.Lock()
	defer m.mu.Unlock()
	assert.Empty(t, m.owners, "who has no jobs is forgotten")
}

// TestNextBatchHasEachOwner has an owner fill two batches, and two others come while the first one is computed: the second batch has their
// pictures.
func TestNextBatchHasEachOwner(t *testing.T) {
	r := &tester{max: 4}
	m := start(t, Options{Paused: true, MaxBatch: 4}, r)
	var all [10]results
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
	m.owners["many"].got, m.owners["many"].served = 4, true // a batch
	m.mu.Unlock()
	add("few", 2)
	add("other", 3)
	m.Resume()
	for _, j := range jobs {
		require.NoError(t, j.Wait(t.Context()))
	}
	assert.Equal(t, []int{2, 3, 1, 1}, r.batches()[0])
}
