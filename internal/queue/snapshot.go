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
	began time.Time
	last  time.Time
}

func (r *rate) add(n float64, now time.Time) {
	r.decay(now)
	r.value += n
}

func (r *rate) decay(now time.Time) {
	if r.last.IsZero() {
		r.last = now
		return
	}
	r.value *= math.Exp(-now.Sub(r.last).Seconds() / rateWindow.Seconds())
	r.last = now
}

// per returns events a second.
func (r *rate) per(now time.Time) float64 {
	r.decay(now)
	age := now.Sub(r.began).Seconds()
	window := rateWindow.Seconds() * (1 - math.Exp(-age/rateWindow.Seconds()))
	if window <= 0 {
		return 0
	}
	return r.value / window
}

// stats counts what happened; guarded by the manager's mutex.
type stats struct {
	began       time.Time
	submitted   int64
	done        int64
	failed      int64
	cancelled   int64
	retried     int64
	outOfMemory int64
	batches     int64
	steps       int64
	queuedCost  float64
	images      rate
	cost        rate
	stepRate    rate
}

func (s *stats) finished(cost float64, now time.Time) {
	s.done++
	s.images.add(1, now)
	s.cost.add(cost, now)
}

func (s *stats) stepped(n int, now time.Time) {
	s.steps += int64(n)
	s.stepRate.add(float64(n), now)
}

// Snapshot is the state of a Manager at a moment, as plain values for metrics and displays.
type Snapshot struct {
	Submitted   int64 // tasks so far
	Queued      int
	Running     int
	Finished    int64
	Failed      int64 // cancelled ones among them
	Cancelled   int64
	Retried     int64 // tasks put back into the queue
	OutOfMemory int64 // times that memory ran out
	Batches     int64 // ended
	Steps       int64 // denoising steps of all pictures

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
	for _, r := range []*rate{&s.images, &s.cost, &s.stepRate} {
		r.began = s.began
	}
	out := Snapshot{Submitted: s.submitted, Queued: m.waiting, Finished: s.done, Failed: s.failed, Cancelled: s.cancelled, Retried: s.retried,
		OutOfMemory: s.outOfMemory, Batches: s.batches, Steps: s.steps, Elapsed: now.Sub(s.began), Jobs: len(m.jobs),
		ImagesPerSec: s.images.per(now), StepsPerSec: s.stepRate.per(now)}
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
