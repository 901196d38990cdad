package dispatch

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// can reports whether the worker takes runs for a model now: one for another model than it aims at would have the model changed. Where
// several models may be open, those that are open are all right.
func (w *Worker) can(model string) bool {
	if !w.o.Shared {
		return true // nobody else would take it, so that its client hears what is wrong
	}
	if _, ok := w.o.Catalog().Find(model); !ok {
		return false
	}
	return model == w.aims() || w.o.Models > 1 && w.has(model)
}

// has reports whether a model is open.
func (w *Worker) has(model string) bool {
	m, ok := w.o.Catalog().Find(model)
	if !ok {
		return false
	}
	_, _, open, _ := w.o.Service.Status("")
	_, ok = isOpen(open, pipeline.ModelName(m.Defaults.Model.Model))
	return ok
}

// rank puts the model that the worker aims at before the others.
func (w *Worker) rank(model string) int {
	if model == w.aims() {
		return 0
	}
	return 1
}

// aims is the model whose runs the worker takes. It is looked at again every now and then, and at once where the worker has nothing to do.
func (w *Worker) aims() string {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	idle := time.Duration(0)
	if len(w.tasks) == 0 {
		idle = max(now.Sub(w.rested), 1)
	}
	if idle == 0 && now.Sub(w.aimed) < aimEvery {
		return w.model
	}
	w.aimed = now
	v := view{now: w.model, held: now.Sub(w.since), idle: idle, name: w.o.Name, demand: w.o.Queue.Demand(), workers: w.o.Queue.Workers(),
		round: now.UnixNano() / int64(roundTime)}
	if model := v.aim(); model != w.model {
		w.o.Log.Debug("the worker turns to another model", "worker", w.o.Name, "model", model, "before", w.model, "held", v.held.Seconds(),
			"idle", idle.Seconds())
		w.turn(model, now)
	}
	return w.model
}

// aimEvery is how often a worker that has something to do looks for which models runs wait.
const aimEvery = time.Second

// turn notes the model whose runs go first. The mutex is held.
func (w *Worker) turn(model string, now time.Time) {
	if w.model == model {
		return
	}
	w.model, w.since = model, now
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// most is how many of n pictures of a run the worker takes. The rest is for others, if there are any. Where fewer runs wait than there are
// workers, it leaves them something.
func (w *Worker) most(r *durable.Record, n int) int {
	if !w.o.Shared {
		return 0
	}
	able := 0
	for _, p := range w.o.Queue.Workers() {
		if !p.Draining && slices.Contains(p.Models, r.Model) {
			able++
		}
	}
	if able > 1 && w.o.Queue.Waiting() < able {
		return min(max((n+able-1)/able, leastPiece), share)
	}
	return share
}

// leastPiece is the smallest part of a run that is made for the sake of idle workers: smaller batches waste more than they gain.
const leastPiece = 4

// other reports whether another worker could make a piece for which the worker has too little memory.
func (w *Worker) other(r *durable.Record, piece durable.Piece) bool {
	return slices.ContainsFunc(w.o.Queue.Workers(), func(p durable.Presence) bool {
		return p.Name != w.o.Name && !p.Draining && slices.Contains(p.Models, r.Model) && !slices.Contains(piece.Tried, p.Name)
	})
}

// room reports whether there is room for a run of a priority. An owner of whom nothing is in work has some where others fill the window:
// the next batch has its pictures.
func (w *Worker) room(priority int, owner string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, fresh := 0, owner != ""
	for t := range w.tasks {
		if t.Priority >= priority {
			n += min(t.Size(), share)
		}
		fresh = fresh && t.Owner != owner
	}
	window := w.window()
	return n < window || fresh && n < window+share
}

// fairEvery is how often a worker looks how much of what there is to make is its part.
const fairEvery = 100 * time.Millisecond

// part is the worker's part of all that waits or is in work, by the time that it takes, in pictures of its model; but enough for a batch.
// Without it, one worker would take what others could make at once. The mutex is held.
func (w *Worker) part(now time.Time) int {
	if !w.o.Shared || now.Sub(w.at) < fairEvery {
		return w.fair
	}
	w.at = now
	workers := w.o.Queue.Workers()
	speed := speedOf(workers)
	all, able := 0.0, 1.0
	for d, n := range w.o.Queue.Demand() {
		all += float64(n) / speed(d.Model)
	}
	for t := range w.tasks {
		all += float64(t.Size()) / speed(t.Model)
	}
	for _, p := range workers {
		if p.Name != w.o.Name && !p.Draining {
			all += float64(p.Images) / speed(p.Aim)
			able++
		}
	}
	w.fair = max(int(math.Ceil(all/able*speed(w.model))), leastWindow)
	return w.fair
}

// speedOf tells how many pictures of each model a worker makes in a second; 1 for all while that is not known of each model in use.
func speedOf(workers []durable.Presence) func(model string) float64 {
	sum, n := map[string]float64{}, map[string]float64{}
	for _, p := range workers {
		for model, speed := range p.Speed {
			sum[model] += speed
			n[model]++
		}
	}
	unknown := slices.ContainsFunc(workers, func(p durable.Presence) bool { return p.Aim != "" && n[p.Aim] == 0 })
	return func(model string) float64 {
		if unknown || n[model] == 0 {
			return 1
		}
		return sum[model] / n[model]
	}
}

// leastWindow is the smallest window of a worker that has memory enough.
const leastWindow = 8

// window is how many pictures may be in work. The mutex is held.
func (w *Worker) window() int {
	n := cmp.Or(w.small, w.o.Window)
	if part := w.part(time.Now()); part > 0 {
		n = min(n, part)
	}
	return n
}

// tooLarge reports whether an error says that the worker has too little memory.
func (w *Worker) tooLarge(err error) bool {
	return err != nil && w.o.Service.Explain(err).Code == service.CodeOutOfMemory
}

// relieve takes less at a time from now on, and gives back what was not begun with: memory ran out.
func (w *Worker) relieve() {
	w.mu.Lock()
	w.small = max(cmp.Or(w.small, w.o.Window)/2, 1)
	w.o.Log.Warn("memory ran out: the worker takes less at a time, and gives back what it has not begun with", "pictures", w.small)
	w.mu.Unlock()
	w.each(func(t *task) {
		if !t.begun() {
			t.leave(errDrained)
		}
	})
}
