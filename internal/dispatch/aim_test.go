package dispatch

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/daguerre-go/daguerre/internal/durable"
)

// TestAim asks a worker for its next model in one situation after the other.
func TestAim(t *testing.T) {
	both := []string{"x", "y"}
	worker := func(name, aim string) durable.Presence { return durable.Presence{Name: name, Aim: aim, Models: both} }
	demand := func(x, y int) map[durable.Demand]int {
		d := map[durable.Demand]int{}
		for model, n := range map[string]int{"x": x, "y": y} {
			if n > 0 {
				d[durable.Demand{Owner: "o" + model, Model: model}] = n
			}
		}
		return d
	}
	long := time.Hour
	for name, c := range map[string]struct {
		now    string
		held   time.Duration
		demand map[durable.Demand]int
		others []durable.Presence
		lot    int // of the worker among those that serve its model: 0 is the lowest one
		want   string
	}{
		"nothing waits":                      {"x", long, demand(0, 0), nil, 0, "x"},
		"the own model has nothing left":     {"x", 0, demand(0, 5), nil, 0, "y"},
		"no model yet":                       {"", 0, demand(0, 5), nil, 0, "y"},
		"only the own model":                 {"x", long, demand(5, 0), nil, 0, "x"},
		"one worker is patient":              {"x", time.Second, demand(5, 5), nil, 0, "x"},
		"one worker takes turns":             {"x", long, demand(5, 5), nil, 0, "y"},
		"another one serves the other model": {"x", long, demand(5, 5), []durable.Presence{worker("b", "y")}, 0, "x"},
		"a small owner counts as a large one": {"x", long, demand(1000, 10), []durable.Presence{worker("b", "x"), worker("c", "x"),
			worker("d", "y")}, 0, "y"},
		"not all change": {"x", long, demand(1000, 10), []durable.Presence{worker("b", "x"), worker("c", "x"), worker("d", "y")}, 1, "x"},
		"the other model has enough workers": {"x", long, demand(1000, 10), []durable.Presence{worker("b", "x"), worker("c", "y"),
			worker("d", "y")}, 0, "x"},
		"a model that this worker has not": {"x", long, map[durable.Demand]int{{Owner: "o", Model: "z"}: 5}, nil, 0, "x"},
	} {
		v := view{now: c.now, held: c.held, name: "a", demand: c.demand, workers: append(c.others, worker("a", c.now))}
		for v.before(func(w durable.Presence) bool { return w.Aim == c.now }) != float64(c.lot) || c.lot == 0 && v.before(v.serves) > 0 {
			v.round++
		}
		assert.Equal(t, c.want, v.aim(), name)
	}
}

// TestAimSpreads lets many workers choose one after the other: they end as the pictures that wait, and then stay.
func TestAimSpreads(t *testing.T) {
	const n = 60
	models := []string{"x", "y", "z"}
	demand := map[durable.Demand]int{{Owner: "o", Model: "x"}: 300, {Owner: "o", Model: "y"}: 200, {Owner: "o", Model: "z"}: 100}
	workers := make([]durable.Presence, n)
	for i := range workers {
		workers[i] = durable.Presence{Name: fmt.Sprint("w", i), Models: models}
	}
	changes := 0
	for round := range 10 {
		for i := range workers {
			v := view{now: workers[i].Aim, held: time.Hour, name: workers[i].Name, demand: demand, workers: workers, round: int64(round)}
			if model := v.aim(); model != workers[i].Aim {
				workers[i].Aim = model
				changes++
			}
		}
	}
	count := map[string]int{}
	for _, w := range workers {
		count[w.Aim]++
	}
	assert.InDelta(t, 30, count["x"], 1)
	assert.InDelta(t, 20, count["y"], 1)
	assert.InDelta(t, 10, count["z"], 1)
	assert.LessOrEqual(t, changes, n+3, "each loads about one model")
}

// TestAimRow asks workers that have nothing to do: as many load another model as it is worth.
func TestAimRow(t *testing.T) {
	const n = 10
	models := []string{"x", "y"}
	for name, c := range map[string]struct {
		pictures int
		serving  int // workers that make y, a picture a second each; loading it takes 20 s
		want     int // workers that turn to it
		idle     time.Duration
	}{
		"a large rest":                    {1000, 2, n, 0},
		"a rest that others make in time": {30, 2, 0, 0},
		"a rest that is hardly worth it":  {200, 2, 0, 0},
		"a rest for one more":             {220, 2, 1, 0},
		"a rest for two more":             {280, 2, 2, 0},
		"nobody serves it":                {1, 0, 1, 0},
		"nobody came for a while":         {1000, 2, n, time.Minute},
		"others cannot make the rest":     {1, 2, 1, time.Minute},
	} {
		var workers []durable.Presence
		for i := range c.serving {
			workers = append(workers, durable.Presence{Name: fmt.Sprint("s", i), Models: models, Aim: "y", Speed: map[string]float64{"y": 1},
				Opening: map[string]float64{"y": 20}})
		}
		for i := range n {
			workers = append(workers, durable.Presence{Name: fmt.Sprint("w", i), Models: models, Aim: "x"})
		}
		turned := 0
		for i := range n {
			v := view{now: "x", idle: max(c.idle, 1), name: fmt.Sprint("w", i), demand: map[durable.Demand]int{{Owner: "o", Model: "y"}: c.pictures},
				workers: workers, round: 7}
			if v.aim() == "y" {
				turned++
			}
		}
		assert.Equal(t, c.want, turned, name)
	}
}

// TestShares divides workers among owners.
func TestShares(t *testing.T) {
	of := func(owner, model string) durable.Demand { return durable.Demand{Owner: owner, Model: model} }
	models := map[string]*figures{"slow": {rate: 1, load: 20 * time.Second}, "fast": {rate: 2, load: 10 * time.Second}}
	for name, c := range map[string]struct {
		demand map[durable.Demand]float64
		want   map[durable.Demand]float64
	}{
		"owners get the same": {map[durable.Demand]float64{of("a", "slow"): 9000, of("b", "slow"): 900},
			map[durable.Demand]float64{of("a", "slow"): 6, of("b", "slow"): 6}},
		"who can use little leaves the rest": {map[durable.Demand]float64{of("a", "slow"): 9000, of("b", "slow"): 20},
			map[durable.Demand]float64{of("a", "slow"): 11, of("b", "slow"): 1}},
		"models get by their time": {map[durable.Demand]float64{of("a", "slow"): 1000, of("a", "fast"): 1000},
			map[durable.Demand]float64{of("a", "slow"): 8, of("a", "fast"): 4}},
	} {
		got := shares(c.demand, models, 12)
		for d, n := range c.want {
			assert.InDelta(t, n, got[d], 1e-9, name)
		}
	}
}
