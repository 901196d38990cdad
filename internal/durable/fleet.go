package durable

import (
	"cmp"
	"slices"
	"time"
)

// Fleet is how workers and queues are.
type Fleet struct {
	Workers []Presence   `json:"workers"`
	Queues  []LaneStatus `json:"queues"` // that have something
	Rate    float64      `json:"images_per_minute"`
	Waiting int          `json:"waiting"` // runs
	Running int          `json:"running"`
	Dead    int          `json:"dead"`
}

// LaneStatus is how one queue is.
type LaneStatus struct {
	Lane
	Waiting int     `json:"waiting"` // runs
	Running int     `json:"running"`
	Images  int     `json:"images"` // of runs that wait
	Seconds float64 `json:"oldest_seconds"`
	Workers int     `json:"workers"` // that have its model
}

// Oldest is the age of the run that waits for longest.
func (l LaneStatus) Oldest() time.Duration { return time.Duration(l.Seconds * float64(time.Second)) }

// Fleet tells how workers and queues are.
func (q *Queue) Fleet() Fleet {
	f := Fleet{Workers: append([]Presence{}, q.Workers()...), Queues: []LaneStatus{}}
	models := map[string]int{}
	for _, w := range f.Workers {
		f.Rate += w.Rate
		for _, m := range w.Models {
			models[m]++
		}
	}
	lanes, now := map[Lane]*LaneStatus{}, q.o.Now()
	q.Each(func(r *Record) {
		if r.Dead {
			f.Dead++
		}
		if r.State.Ended() {
			return
		}
		l := lanes[r.lane()]
		if l == nil {
			l = &LaneStatus{Lane: r.lane(), Workers: models[r.Model]}
			lanes[r.lane()] = l
		}
		if r.State == Running {
			l.Running++
			f.Running++
			return
		}
		l.Waiting++
		f.Waiting++
		l.Images += r.Images
		l.Seconds = max(l.Seconds, now.Sub(r.Created).Seconds())
	})
	for _, l := range lanes {
		f.Queues = append(f.Queues, *l)
	}
	slices.SortFunc(f.Queues, func(a, b LaneStatus) int {
		return cmp.Or(b.Priority-a.Priority, cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.Model, b.Model))
	})
	return f
}
