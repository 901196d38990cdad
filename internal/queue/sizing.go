package queue

import (
	"fmt"
	"math"
)

const (
	firstSize     = 4    // tasks in the first batch of a kind, where that many wait and fit
	worthwhile    = 0.98 // a size is faster than a smaller one if its time a picture is less than this part of the other's
	trialWorth    = 4    // a smaller size is tried only if so many batches of the best one wait
	forgetAfter   = 32   // after so many batches, other sizes are measured again
	retryLarger   = 8    // after so many batches, a size that ran out of memory is tried again; doubled each time
	memoryMargin  = 0.95 // a larger batch may use this part of the limit
	reliefBatches = 8    // after so many batches with relief, one is tried with less
)

// provenWhy is the reason for a size while a smaller one waits to be tried.
const provenWhy = "fastest measured"

// sizing finds the size of the batches of one key on one worker. It is guarded by the manager's mutex.
type sizing struct {
	label  string
	budget Budget

	size    int             // to use, before bounds
	why     string          // size was chosen
	proven  int             // the best size so far, where size is a smaller one on trial; 0: it is not
	times   map[int]float64 // least seconds per picture, by size
	batches int             // since sizes were forgotten

	bad      int // smallest size that ran out of memory; 0: none
	sinceBad int // batches since then
	patience int // batches until bad is tried again
	forgiven bool

	memoryMax int // largest size that the measured memory allows; 0: not known

	relief      Relief // single pictures need at least this much
	sinceRelief int
}

// newSizing begins with batches of the size that is asked for; 0: firstSize.
func newSizing(label string, asked int) *sizing {
	s := &sizing{label: label, size: firstSize, why: "first batch of its kind", times: map[int]float64{}, patience: retryLarger}
	if asked > 0 {
		s.size, s.why = asked, "as asked"
	}
	return s
}

// limit is the largest size to consider, and what sets it.
func (s *sizing) limit(most int) (int, string) {
	n, why := most, fmt.Sprintf("at most %d", most)
	if fits := max(s.budget.Max, 1); fits < n {
		n, why = fits, s.budget.Why
		if why == "" {
			why = fmt.Sprintf("the budget allows %d", fits)
		}
	}
	if s.memoryMax > 0 && s.memoryMax < n {
		n, why = s.memoryMax, "measured memory allows no more"
	}
	if s.bad > 0 && s.bad-1 < n {
		n, why = max(s.bad-1, 1), fmt.Sprintf("%d ran out of memory", s.bad)
	}
	return n, why
}

// next returns the size of a batch if so many tasks wait that can go together, and why.
func (s *sizing) next(most, waiting int) (int, string) {
	limit, bound := s.limit(most)
	n, why := s.size, s.why
	if s.proven > 0 && waiting < trialWorth*s.proven {
		n, why = s.proven, provenWhy
	}
	if n >= limit {
		n, why = limit, bound
	}
	switch {
	case waiting <= n:
		if waiting < n {
			why = "no more are waiting"
		}
		n = max(waiting, 1)
	case waiting < 2*n: // two batches of about the same size rather than a small last one
		n, why = (waiting+1)/2, "an even share of what waits"
	}
	return n, why
}

// finished learns from a batch of n that took so many seconds, and from the memory in use before it and at its peak.
func (s *sizing) finished(n, most int, seconds float64, before, peak, memoryLimit int64) {
	per := seconds / float64(n)
	if t, ok := s.times[n]; !ok || per < t {
		s.times[n] = per
	}
	s.learnMemory(n, before, peak, memoryLimit)
	s.recover()
	s.batches++
	if s.batches >= forgetAfter {
		s.batches = 0
		clear(s.times)
		s.times[n] = per
	}
	limit, _ := s.limit(most)
	s.choose(limit)
}

// learnMemory limits the size by the memory that n pictures took.
func (s *sizing) learnMemory(n int, before, peak, limit int64) {
	if limit <= 0 || peak <= 0 {
		return
	}
	room, per := memoryMargin*float64(limit)-float64(before), float64(peak-before)/float64(n)
	switch {
	case per > 0 && room < per*float64(2*n):
		s.memoryMax = max(int(room/per), 1)
	case s.memoryMax > 0:
		s.memoryMax = 0 // there is room again
	}
}

// recover forgets, after a while, that memory ran out.
func (s *sizing) recover() {
	if s.bad > 0 {
		if s.sinceBad++; s.sinceBad >= s.patience {
			s.bad, s.sinceBad, s.forgiven = 0, 0, true
		}
	}
	if s.relief > ReliefNone {
		if s.sinceRelief++; s.sinceRelief >= reliefBatches {
			s.relief--
			s.sinceRelief = 0
		}
	}
}

// choose sets the size by the times measured so far. It tries twice the best size as long as that is faster, and half of it if
// nothing smaller was tried.
func (s *sizing) choose(limit int) {
	s.proven = 0
	best, time := 0, math.Inf(1)
	for n := range limit {
		if t, ok := s.times[n+1]; ok && t < time*worthwhile {
			best, time = n+1, t
		}
	}
	if best == 0 {
		s.size, s.why = min(s.size, limit), "what fits"
		return
	}
	larger, smaller := min(2*best, limit), best/2
	above, below := 0, false // a size above the best that was tried, and whether one below it was
	for n := range s.times {
		if n > best && n <= limit {
			above = n
		}
		below = below || n < best
	}
	switch {
	case larger > best && above == 0:
		s.size, s.why = larger, fmt.Sprintf("trying more than %d", best)
	case smaller >= 1 && !below:
		s.proven = best
		s.size, s.why = smaller, fmt.Sprintf("trying less than %d", best)
	case above > 0:
		s.size, s.why = best, fmt.Sprintf("fastest measured: %.3g s a picture, %.3g with %d", time, s.times[above], above)
	default:
		s.size, s.why = best, fmt.Sprintf("fastest measured: %.3g s a picture", time)
	}
}

// outOfMemory learns that n pictures did not fit.
func (s *sizing) outOfMemory(n int) {
	if n <= 1 {
		return
	}
	if s.forgiven {
		s.patience, s.forgiven = 2*s.patience, false
	}
	s.bad, s.sinceBad, s.proven = n, 0, 0
	s.size, s.why = max(n/2, 1), fmt.Sprintf("half of %d, which ran out of memory", n)
	for k := range s.times {
		if k >= n {
			delete(s.times, k)
		}
	}
}

// needsRelief learns that even a single picture needs relief.
func (s *sizing) needsRelief(r Relief) {
	s.relief, s.sinceRelief = max(s.relief, r), 0
}
