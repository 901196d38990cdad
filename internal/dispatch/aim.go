package dispatch

import (
	"hash/fnv"
	"math"
	"slices"
	"time"

	"github.com/daguerre-go/daguerre/internal/durable"
)

// patience is how long a worker makes runs for one model while runs for others wait: each change of the model costs a loading.
const patience = 30 * time.Second

// view is what a worker knows when it chooses the model whose runs go first.
type view struct {
	now     string                 // its model; empty: none yet
	held    time.Duration          // since it chose that one
	name    string                 // its own
	demand  map[durable.Demand]int // pictures that wait
	workers []durable.Presence     // that are there
	chance  float64                // 0 to 1, drawn anew each time
}

// aim is the model whose runs go first. Each model is to have as many workers as is its part of what waits, where each owner counts once:
// who has ten runs weighs as much as who has a thousand. A worker whose model has nothing left changes at once. Others change after a
// while, where that brings the numbers nearer to their parts, or where nobody serves a model. Not all change at the same time: each does
// so by chance, so that about as many change as are too many.
func (v view) aim() string {
	parts, able := v.parts()
	if len(parts) == 0 {
		return v.now
	}
	serving := map[string]float64{}
	for _, w := range v.workers {
		if w.Name != v.name && w.Aim != "" {
			serving[w.Aim]++
		}
	}
	want := func(model string) float64 { return parts[model]*able - serving[model] }
	best := ""
	for model := range parts {
		if model == v.now {
			continue
		}
		if d := want(model) - want(best); best == "" || d > 0 || d == 0 && v.draw(model) < v.draw(best) {
			best = model
		}
	}
	switch tooMany := 1 - want(v.now); { // want leaves this worker out
	case parts[v.now] == 0:
		return best
	case best == "" || v.held < patience:
		return v.now
	case serving[best] == 0 && v.chance < 1/(serving[v.now]+1):
		return best
	case tooMany >= 0.5 && want(best) >= 0.5 && v.chance < tooMany/(serving[v.now]+1):
		return best
	}
	return v.now
}

// parts is each model's part of what waits, and how many workers there are for all of it. Models that this worker has not are left out.
func (v view) parts() (parts map[string]float64, able float64) {
	owners, all := map[string]float64{}, 0.0
	for d, n := range v.demand {
		owners[d.Owner] += float64(n)
	}
	mine := func(model string) bool {
		return slices.ContainsFunc(v.workers, func(w durable.Presence) bool { return w.Name == v.name && slices.Contains(w.Models, model) })
	}
	parts = map[string]float64{}
	for d, n := range v.demand {
		if mine(d.Model) {
			parts[d.Model] += float64(n) / owners[d.Owner]
			all += float64(n) / owners[d.Owner]
		}
	}
	for model := range parts {
		parts[model] /= all
	}
	for _, w := range v.workers {
		if !w.Draining && slices.ContainsFunc(w.Models, func(model string) bool { return parts[model] > 0 }) {
			able++
		}
	}
	return parts, able
}

// draw orders equal models in another way for each worker, so that workers that begin together do not all begin with one.
func (v view) draw(model string) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(v.name + "\x00" + model)) // it never fails
	return float64(h.Sum64()) / math.MaxUint64
}
