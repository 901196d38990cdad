package durable

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestBoard reads what was added up: what a worker needs of the others is there. What makes no sense is refused.
func TestBoard(t *testing.T) {
	demand := map[Demand]int{{Owner: "a", Model: "x"}: 3, {Owner: "b", Model: "y"}: 5}
	workers := []Presence{
		{Name: "w1", Models: []string{"x", "y"}, Aim: "x", Images: 4, Opening: map[string]float64{"x": 5}, Speed: map[string]float64{"x": 1}},
		{Name: "w2", Models: []string{"x", "y"}, Opening: map[string]float64{"x": 7}, Speed: map[string]float64{"x": 3}},
		{Name: "w3", Models: []string{"y"}, Aim: "y", Draining: true},
	}
	k, ok := makeBoard(demand, 2, workers).read()
	require.True(t, ok)
	assert.Equal(t, demand, k.demand)
	assert.Equal(t, 2, k.waiting)
	for i := range workers {
		workers[i].Opening, workers[i].Speed = map[string]float64{"x": 7}, map[string]float64{"x": 2}
	}
	assert.Equal(t, workers, k.workers)
	for name, b := range map[string]board{
		"a set":       {Workers: []boardWorker{{Set: 1, Aim: -1}}},
		"an aim":      {Sets: [][]int{{}}, Workers: []boardWorker{{Aim: 0}}},
		"a model":     {Sets: [][]int{{0}}},
		"one below 0": {Sets: [][]int{{-1}}},
	} {
		_, ok := b.read()
		assert.False(t, ok, name)
	}
}

// TestWorkerKnowsOnlyItsRuns has a worker's queue beside one that follows all runs: it hears what waits, knows the run that it has, is told
// at once that this is cancelled, and forgets it. So does one where nobody tells boards.
func TestWorkerKnowsOnlyItsRuns(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	a, url := shared(t, Options{})
	w := open(t, Options{URL: url, Access: Joins})
	require.NoError(t, w.Announce(ctx, Presence{Name: "w", Models: []string{"m"}, Aim: "m"}))
	first, second := submit(t, a, record("a")), submit(t, a, record("a"))
	require.Eventually(t, func() bool { return w.Waiting() == 2 && len(w.Workers()) == 1 }, long, time.Millisecond)
	assert.Equal(t, map[Demand]int{{Owner: "a", Model: "m"}: first.Images + second.Images}, w.Demand())
	k, err := w.ownBoard(ctx)
	require.NoError(t, err)
	assert.Len(t, k.demand, 1)
	assert.Equal(t, "w", k.workers[0].Name)

	c := take(t, w, "w")
	runs := func() (n int) {
		w.Each(func(*Record) { n++ })
		return n
	}
	assert.Equal(t, 1, runs())
	_, err = a.Cancel(ctx, "a", c.ID)
	require.NoError(t, err)
	began := time.Now()
	for {
		cancelled, lost, moved := c.Cancelled()
		if cancelled {
			assert.False(t, lost)
			break
		}
		<-moved
	}
	assert.Less(t, time.Since(began), soonEnough)
	require.NoError(t, c.Finish(ctx, cancelled(), nil))
	assert.Zero(t, runs())

	// A run that comes while the worker waits is taken at once.
	finish(t, take(t, w, "w"), Done)
	got := make(chan *Claim, 1)
	go func() {
		c, _ := w.Take(ctx, Wish{Worker: "w", Room: anyRoom})
		got <- c
	}()
	time.Sleep(50 * time.Millisecond) // it waits
	third := submit(t, a, record("a"))
	c = <-got
	require.NotNil(t, c)
	assert.Equal(t, third.ID, c.ID)
	finish(t, c, Done)
	require.Eventually(t, func() bool { r, err := a.Find(third.ID); return err == nil && r.State == Done }, long, time.Millisecond)
}

// soonEnough is less than the time after which a worker looks by itself whether its run is still its own.
const soonEnough = DefaultAckWait / 4
