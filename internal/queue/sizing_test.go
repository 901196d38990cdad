package queue

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// simulate runs batches whose pictures take per(n) seconds each and returns the sizes.
func simulate(s *sizing, most, batches int, per func(n int) float64) []int {
	var sizes []int
	for range batches {
		n, _ := s.next(most, 1000)
		sizes = append(sizes, n)
		s.finished(n, most, per(n)*float64(n), 0, 0, 0)
	}
	return sizes
}

func TestSizeFollowsSpeed(t *testing.T) {
	fit := func(most int) *sizing {
		s := newSizing("x", 0)
		s.budget = Budget{Max: most, Why: "the budget"}
		return s
	}
	grows := func(n int) float64 { return 1 + 4/float64(n) } // the larger, the faster
	s := fit(100)
	assert.Equal(t, []int{4, 8, 16, 16, 16}, simulate(s, 16, 5, grows))
	n, why := s.next(16, 1000)
	assert.Equal(t, 16, n)
	assert.Equal(t, "at most 16", why)
	s = fit(6)
	assert.Equal(t, []int{4, 6, 6}, simulate(s, 16, 3, grows))
	_, why = s.next(16, 1000)
	assert.Equal(t, "the budget", why)

	s = fit(100)
	assert.Equal(t, []int{4, 8, 2, 4, 4}, simulate(s, 16, 5, func(n int) float64 { return []float64{4: 1, 8: 1.2, 2: 2, 1: 4}[n] }),
		"no more than pays")
	s = fit(100)
	assert.Equal(t, []int{4, 8, 2, 1, 1, 1}, simulate(s, 16, 6, func(n int) float64 { return float64(n) }), "down to one")
	_, why = s.next(16, 1000)
	assert.Contains(t, why, "fastest measured: 1 s a picture, ")
	assert.Equal(t, []int{1, 1, 1}, simulate(fit(0), 16, 3, grows), "no budget is one")
}

func TestSizeAskedFor(t *testing.T) {
	s := newSizing("x", 8)
	s.budget = Budget{Max: 100}
	n, why := s.next(16, 1000)
	assert.Equal(t, 8, n)
	assert.Equal(t, "as asked", why)
	s.budget = Budget{Max: 6, Why: "the budget"}
	n, why = s.next(16, 1000)
	assert.Equal(t, 6, n, "no more than fit")
	assert.Equal(t, "the budget", why)
}

func TestSizeOfWhatWaits(t *testing.T) {
	s := newSizing("x", 0)
	s.budget = Budget{Max: 4}
	for waiting, want := range map[int]int{1: 1, 3: 3, 4: 4, 5: 3, 7: 4, 8: 4, 100: 4} {
		n, _ := s.next(16, waiting)
		assert.Equal(t, want, n, waiting)
	}
}

func TestSizeAfterRunningOutOfMemory(t *testing.T) {
	s := newSizing("x", 0)
	s.budget = Budget{Max: 8}
	faster := func(n int) float64 { return 1 / float64(n) }
	run := func(batches, fits int) (sizes []int) {
		for range batches {
			n, _ := s.next(16, 1000)
			sizes = append(sizes, n)
			if n > fits {
				s.outOfMemory(n)
			} else {
				s.finished(n, 16, faster(n)*float64(n), 0, 0, 0)
			}
		}
		return sizes
	}
	assert.Equal(t, []int{4, 8, 4, 7, 3, 6, 3, 5, 2, 4, 4, 4, 4, 4}, run(14, 4), "the boundary is found")
	sizes := run(100, 4)
	tried := 0
	for _, n := range sizes {
		if n > 4 {
			tried++
		}
	}
	assert.Less(t, tried, 16, "what fails is tried more and more seldom: %v", sizes)
	sizes = run(200, 100)
	assert.Equal(t, 8, sizes[199], "when there is memory again the size grows")
}

func TestSizeFollowsMeasuredMemory(t *testing.T) {
	s := newSizing("x", 0)
	s.budget = Budget{Max: 16}
	const base, per, limit = 100, 50, 500
	var sizes []int
	for range 6 {
		n, _ := s.next(16, 1000)
		sizes = append(sizes, n)
		s.finished(n, 16, 1, base, base+per*int64(n), limit)
	}
	assert.Equal(t, []int{4, 7, 7, 7, 7, 7}, sizes, "100 + 7 * 50 is below 95 % of 500, 8 would not be")
	_, why := s.next(16, 1000)
	assert.Contains(t, why, "measured memory")
	for range 3 {
		n, _ := s.next(16, 1000)
		s.finished(n, 16, 1, base, base+per*int64(n), 10*limit)
	}
	n, _ := s.next(16, 1000)
	assert.Greater(t, n, 7, "with more memory it grows again")
}

func TestRates(t *testing.T) {
	began := time.Unix(1000, 0)
	r := rate{}
	now := began
	for range 100 {
		now = now.Add(time.Second)
		r.add(2, now)
	}
	assert.InDelta(t, 2, r.per(began, now), 0.1)
	assert.Less(t, r.per(began, now.Add(time.Hour)), 1e-6)
	young := rate{}
	young.add(1, began.Add(time.Second))
	assert.InDelta(t, 1, young.per(began, began.Add(time.Second)), 0.05)
	assert.Zero(t, new(rate).per(time.Time{}, time.Time{}))
}
