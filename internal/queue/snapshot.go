package queue

import (
	"maps"
	"math"
	"time"
)

// rateWindow is the time constant over which rates are averaged.
const rateWindow = 30 * time.Second

// rate is the number of events a second, averaged with weights that fall exponentially with age.
type rate struct {
	value float64
	last  time.Time
}

func (r *rate) add(n float64, now time.Time) {
	r.decay(now)
	r.value += n
}

func (r *rate) decay(now time.Time) {
	if !r.last.IsZero() {
		r.value *= math.Exp(-now.Sub(r.last).Seconds() / rateWindow.Seconds())
	}
	r.last = now
}

// per returns events a second for a rate that has been counted since began.
func (r *rate) per(began, now time.Time) float64 {
	r.decay(now)
	window := rateWindow.Seconds() * (1 - math.Exp(-now.Sub(began).Seconds()/rateWindow.Seconds()))
	if window <= 0 {
		return 0
	}
	return r.value / window
}

// Counts are what happened so far.
type Counts struct {
	Submitted   int64 // tasks
	Finished    int64
	Failed      int64 // cancelled ones among them
	Cancelled   int64
	Retried     int64 // tasks put back into the queue
	OutOfMemory int64 // times that memory ran out
	Batches     int64 // ended
	Steps       int64 // denoising steps of all pictures
}

// stats is guarded by the manager's mutex.
type stats struct {
	Counts
	began                  time.Time
	queuedCost             float64
	images, cost, stepRate rate
}

// Snapshot is the state of a Manager at a moment, as plain values for metrics and displays.
type Snapshot struct {
	Counts
	Queued  int
	Running int

	ImagesPerSec float64 // lately
	StepsPerSec  float64 // lately, over all pictures
	ETA          time.Duration
	Elapsed      time.Duration // since New

	Jobs    int // unfinished
	Workers []WorkerSnapshot
}

// WorkerSnapshot is the state of one Runner.
type WorkerSnapshot struct {
	Name     string
	Lost     bool
	Busy     bool
	Size     int // of the running batch
	Finished int64
	Speed    float64 // measured, in cost a second
	Peak     int64   // bytes in use at most in any batch; 0: not measured
	Sizes    []SizeSnapshot
}

// SizeSnapshot tells how large batches of one kind are, and why.
type SizeSnapshot struct {
	Label   string
	Size    int // of the next full batch
	Why     string
	Seconds map[int]float64 // least time a picture, by size of the batch
	Relief  Relief
}

// Snapshot returns the state now.
func (m *Manager[T, R]) Snapshot() Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, s := m.opts.now(), &m.stats
	out := Snapshot{Counts: s.Counts, Queued: m.waiting, Elapsed: now.Sub(s.began), Jobs: len(m.jobs),
		ImagesPerSec: s.images.per(s.began, now), StepsPerSec: s.stepRate.per(s.began, now)}
	speed, left := 0.0, s.queuedCost
	for _, w := range m.workers {
		out.Workers = append(out.Workers, w.snapshot())
		if !w.lost {
			speed += w.speed
		}
		if w.current != nil {
			left += w.speed * w.remaining(now)
		}
	}
	for _, j := range m.jobs {
		out.Running += j.counts.Running
	}
	if speed > 0 {
		out.ETA = time.Duration(left / speed * float64(time.Second))
	}
	return out
}

func (w *worker[T, R]) snapshot() WorkerSnapshot {
	out := WorkerSnapshot{Name: w.runner.Name(), Lost: w.lost, Busy: w.current != nil, Finished: w.pleased, Speed: w.speed, Peak: w.peak}
	if w.current != nil {
		out.Size = len(w.current.items)
	}
	for _, key := range w.order {
		s := w.sizes[key]
		n, why := s.size, s.why
		if s.proven > 0 {
			n, why = s.proven, provenWhy
		}
		if limit, bound := s.limit(w.m.opts.MaxBatch); n >= limit {
			n, why = limit, bound
		}
		out.Sizes = append(out.Sizes, SizeSnapshot{Label: s.label, Size: n, Why: why, Seconds: maps.Clone(s.times), Relief: s.relief})
	}
	return out
}
