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
		chance float64
		want   string
	}{
		"nothing waits":                      {"x", long, demand(0, 0), nil, 0, "x"},
		"the own model has nothing left":     {"x", 0, demand(0, 5), nil, 0.99, "y"},
		"no model yet":                       {"", 0, demand(0, 5), nil, 0.99, "y"},
		"only the own model":                 {"x", long, demand(5, 0), nil, 0, "x"},
		"one worker is patient":              {"x", time.Second, demand(5, 5), nil, 0, "x"},
		"one worker takes turns":             {"x", long, demand(5, 5), nil, 0.99, "y"},
		"another one serves the other model": {"x", long, demand(5, 5), []durable.Presence{worker("b", "y")}, 0, "x"},
		"a small owner counts as a large one": {"x", long, demand(1000, 10), []durable.Presence{worker("b", "x"), worker("c", "x"),
			worker("d", "y")}, 0, "y"},
		"not all change": {"x", long, demand(1000, 10), []durable.Presence{worker("b", "x"), worker("c", "x"), worker("d", "y")}, 0.9, "x"},
		"the other model has enough workers": {"x", long, demand(1000, 10), []durable.Presence{worker("b", "x"), worker("c", "y"),
			worker("d", "y")}, 0, "x"},
		"a model that this worker has not": {"x", long, map[durable.Demand]int{{Owner: "o", Model: "z"}: 5}, nil, 0, "x"},
	} {
		v := view{now: c.now, held: c.held, name: "a", demand: c.demand, workers: append(c.others, worker("a", c.now)), chance: c.chance}
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
			v := view{now: workers[i].Aim, held: time.Hour, name: workers[i].Name, demand: demand, workers: workers,
				chance: float64((i*7+round*13)%n) / n}
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
