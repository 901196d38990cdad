package queue

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// crowd submits jobs of one task for several owners to a paused queue.
type crowd struct {
	t    *testing.T
	m    *Manager[int, string]
	jobs []*Job[int, string]
}

func (c *crowd) add(owner string, value int) {
	s := new(results).spec("k", value)
	s.Owner = owner
	c.jobs = append(c.jobs, submit(c.t, c.m, s))
}

// finish lets the queue go on, and waits for all jobs.
func (c *crowd) finish() {
	c.m.Resume()
	for _, j := range c.jobs {
		require.NoError(c.t, j.Wait(c.t.Context()))
	}
}

// TestOwnersShare has an owner of many jobs and one of few, who comes later: the second one goes first, then they take turns. It gets no
// more for having come late.
func TestOwnersShare(t *testing.T) {
	r := &tester{max: 1}
	m := start(t, Options{Paused: true}, r)
	c := &crowd{t: t, m: m}
	for range 8 {
		c.add("many", 1)
	}
	m.mu.Lock()
	m.owners["many"].got, m.owners["many"].served = 100, true // it has got much before
	m.mu.Unlock()
	for range 4 {
		c.add("few", 2)
	}
	c.finish()
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
	c := &crowd{t: t, m: m}
	for range 8 {
		c.add("many", 1)
	}
	m.mu.Lock()
	m.owners["many"].got, m.owners["many"].served = 4, true // a batch
	m.mu.Unlock()
	c.add("few", 2)
	c.add("other", 3)
	c.finish()
	assert.Equal(t, []int{2, 3, 1, 1}, r.batches()[0])
}
