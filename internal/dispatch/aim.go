package dispatch

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/internal/durable"
)

// A worker stays with its model while runs for others wait, since each change costs a loading: so many times the time that opening the
// other model takes, but at least leastPatience. Where nobody serves the other model it is less.
const (
	leastPatience = 30 * time.Second
	patience      = 4
	starved       = 3
)

// plainly is how many workers are too many or too few beyond doubt, and mostly the same as a part of those that serve a model: what is
// known of the others is never exact. Who changes loads a model; soon is how many times that loading its pictures must last at least.
const (
	plainly = 0.75
	mostly  = 0.05
	soon    = 3
)

// bored is how long a worker has nothing to do until it no longer leaves a model to the worker whose turn it is: that one may be gone.
const bored = 2 * time.Second

// view is what a worker knows when it chooses the model whose runs it takes.
type view struct {
	now     string                 // its model; empty: none yet
	held    time.Duration          // since it chose that one
	idle    time.Duration          // since it had something in work; 0: it has
	name    string                 // its own
	demand  map[durable.Demand]int // pictures that wait
	workers []durable.Presence     // that are there
	round   int64                  // the same for all workers that look at about the same time; lots are drawn anew in each
}

// roundTime is how long a round takes.
const roundTime = 5 * time.Second

// figures is what a view says of one model.
type figures struct {
	model   string
	serving float64 // other workers
	need    float64 // so many workers more are worth their loading of the model
	load    time.Duration
	rate    float64 // pictures a second of a worker; 0: it is not known
	waits   float64 // pictures
	held    float64 // pictures that workers have in work
}

// joins is how many more workers are worth their loading of the model: once it is loaded, there is work for each for soon times that long.
// The others work meanwhile.
func (f *figures) joins() float64 {
	load := f.load.Seconds()
	if f.rate == 0 || load == 0 {
		return math.Inf(1)
	}
	waits, all := f.waits/f.rate, (f.waits+f.held)/f.rate
	return math.Floor(max(min(waits, all-(1+soon)*load*f.serving)/(soon*load), 0))
}

// aim is the model whose runs the worker takes. Each owner is to have as many workers, for whichever models it wants, but no more than
// loading these models is worth: who has ten runs weighs as much as who has a thousand, and who has one changes little. A worker whose
// model has nothing left changes at once. Others change after a while, where that brings the numbers nearer to their parts, or where
// nobody serves a model. Not all change at the same time: lots say which ones. All workers draw the same lots, so that as many change as
// are too many.
func (v view) aim() string {
	list := v.figures()
	i := slices.IndexFunc(list, func(f figures) bool { return f.model == v.now })
	switch {
	case len(list) == 0:
		return v.now
	case i < 0:
		return v.next(list)
	}
	mine := list[i]
	list = slices.Delete(list, i, i+1)
	if len(list) == 0 {
		return v.now
	}
	for _, f := range list {
		if f.serving == 0 && v.held >= max(starved*f.load, leastPatience) && v.before(v.serves) < 1 {
			return f.model
		}
	}
	best, tooMany := list[0], 1-mine.need // need leaves this worker out
	if tooMany >= max(plainly, mostly*mine.serving) && best.need >= max(plainly, mostly*best.serving) &&
		v.held >= max(patience*best.load, leastPatience) {
		at := v.before(func(w durable.Presence) bool { return w.Aim == v.now })
		for _, f := range list { // the first ones go where most are missing
			if missing := min(math.Round(f.need), f.joins()); missing > 0 && at < math.Round(tooMany) {
				if at < missing {
					return f.model
				}
				at -= missing
				tooMany -= missing
			}
		}
	}
	return v.now
}

// next is the model of a worker that has nothing to do: those who have nothing stand in a row, and each model takes as many as it needs.
// The row is another one in each round: who is first may be unable to make what waits.
func (v view) next(list []figures) string {
	before := v.before(func(w durable.Presence) bool {
		return !slices.ContainsFunc(list, func(f figures) bool { return f.model == w.Aim })
	})
	at := before
	for _, f := range list {
		if at -= max(min(math.Round(f.need), f.joins()), 0); at < 0 || f.serving == 0 && before < 1 {
			return f.model
		}
	}
	if before < 1 && (v.idle >= leastPatience || v.idle >= bored && list[0].held == 0) {
		return list[0].model // those that serve it may be unable to make what waits
	}
	return v.now
}

// before is how many of the other workers among some have a lower lot.
func (v view) before(among func(w durable.Presence) bool) (n float64) {
	mine := v.lot(v.name)
	for _, w := range v.workers {
		if w.Name != v.name && !w.Draining && among(w) && v.lot(w.Name) < mine {
			n++
		}
	}
	return n
}

func (v view) lot(name string) float64 { return draw(fmt.Sprint(v.round, " ", name)) }

// serves reports whether a worker has a model.
func (v view) serves(w durable.Presence) bool { return w.Aim != "" }

// figures are those of all models that wait and that this worker has, the one that needs workers most first.
func (v view) figures() (list []figures) {
	demand := map[durable.Demand]float64{}
	models := map[string]*figures{}
	i := slices.IndexFunc(v.workers, func(w durable.Presence) bool { return w.Name == v.name })
	for d, n := range v.demand {
		if i >= 0 && slices.Contains(v.workers[i].Models, d.Model) {
			demand[d] = float64(n)
			if models[d.Model] == nil {
				models[d.Model] = &figures{model: d.Model}
			}
			models[d.Model].waits += float64(n)
		}
	}
	able := 0.0
	for _, w := range v.workers {
		if !w.Draining && slices.ContainsFunc(w.Models, func(model string) bool { return models[model] != nil }) {
			able++
		}
	}
	for _, f := range models {
		v.ask(f)
	}
	for d, n := range shares(demand, models, able) {
		models[d.Model].need += n
	}
	for _, f := range models {
		if f.need -= f.serving; f.serving == 0 {
			f.need = max(f.need, 1)
		}
		list = append(list, *f)
	}
	slices.SortFunc(list, func(a, b figures) int {
		return cmp.Or(cmp.Compare(b.need, a.need), strings.Compare(a.model, b.model))
	})
	return list
}

// ask fills in what the workers say of a model.
func (v view) ask(f *figures) {
	rate, measured := 0.0, 0.0
	for _, w := range v.workers {
		f.load = max(f.load, time.Duration(w.Opening[f.model]*float64(time.Second)))
		if speed := w.Speed[f.model]; speed > 0 {
			rate += speed
			measured++
		}
		if w.Aim != f.model {
			continue
		}
		if f.held += float64(w.Images); w.Name != v.name {
			f.serving++
		}
	}
	if measured > 0 {
		f.rate = rate / measured
	}
}

// worth is how many pictures are worth the time that a worker needs to load the model.
func (f *figures) worth() float64 { return max(f.rate*f.load.Seconds(), leastPiece) }

// shares divides workers among owners evenly. An owner gets no more than are worth the loading; the others get the rest. What an owner gets
// is divided among its models by the time that their pictures take, as far as that is known, also those in work: all are to end together.
func shares(demand map[durable.Demand]float64, models map[string]*figures, workers float64) map[durable.Demand]float64 {
	unknown := slices.ContainsFunc(slices.Collect(maps.Values(models)), func(f *figures) bool { return f.rate == 0 })
	uses, times, gets := map[string]float64{}, map[string]float64{}, map[string]float64{}
	list := map[durable.Demand]float64{}
	for d, n := range demand {
		f := models[d.Model]
		if list[d] = n; !unknown {
			list[d] = n / f.rate
		}
		if f.waits > 0 {
			list[d] *= 1 + f.held/f.waits
		}
		uses[d.Owner] += n / f.worth()
		times[d.Owner] += list[d]
	}
	owners := slices.SortedFunc(maps.Keys(uses), func(a, b string) int {
		return cmp.Or(cmp.Compare(uses[a], uses[b]), strings.Compare(a, b))
	})
	for i, o := range owners { // who can use least is first, and leaves most
		gets[o] = min(uses[o], workers/float64(len(owners)-i))
		workers -= gets[o]
	}
	for d := range list {
		list[d] *= gets[d.Owner] / times[d.Owner]
	}
	return list
}

// draw is a number of 0 to 1 that looks drawn and is the same for each worker.
func draw(text string) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // it never fails
	return float64(h.Sum64()*0x9e3779b97f4a7c15) / math.MaxUint64
}
