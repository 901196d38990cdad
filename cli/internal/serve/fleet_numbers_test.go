package serve_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/cli/internal/serve"
	"github.com/daguerre-go/daguerre/cli/internal/serve/servetest"
	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/durable"
)

// fleetOf is what a server tells of workers and queues.
func (c *client) fleetOf() (f durable.Fleet) {
	a := c.do("GET", "/v1/fleet", nil)
	require.Equal(c.t, 200, a.status, string(a.body))
	require.NoError(c.t, json.Unmarshal(a.body, &f), string(a.body))
	return f
}

// lines are the lines of /metrics.
func (c *client) lines() []string {
	return strings.Split(string(c.do("GET", "/metrics", nil).body), "\n")
}

// TestFleetNumbers has a worker with room for one picture get two runs: a server that makes none tells of the one in work and of the one
// that waits, in /v1/fleet and in /metrics.
func TestFleetNumbers(t *testing.T) {
	g := make(gate)
	api, workers := fleet(t, servetest.Options{Window: 1, Hook: g.hook, Catalog: catalog.Options{Models: []string{"one=nano"}}})
	name, owner := workers[0].Worker.Name(), servetest.Local.Owner
	first := api.submit(run())
	api.state(first, "running")
	second := api.submit(run("num_images", 3))
	want := []string{
		"daguerre_fleet_workers 1",
		fmt.Sprintf(`daguerre_fleet_queue_waiting{model="one",owner=%q,priority="0"} 1`, owner),
		fmt.Sprintf(`daguerre_worker_runs{worker=%q} 1`, name),
		fmt.Sprintf(`daguerre_worker_images{worker=%q} 1`, name),
		fmt.Sprintf(`daguerre_worker_window_images{worker=%q} 1`, name),
		fmt.Sprintf(`daguerre_worker_loaded{model="one",worker=%q} 1`, name),
		fmt.Sprintf(`daguerre_worker_images_made{worker=%q} 0`, name),
	}
	require.Eventually(t, func() bool { return has(api.lines(), want) }, long, 20*time.Millisecond, "%v", want)
	f := api.fleetOf()
	require.Len(t, f.Workers, 1)
	w := f.Workers[0]
	assert.Equal(t, []any{name, "one", 1, 1, 1, 0}, []any{w.Name, strings.Join(w.Loaded, " "), w.Runs, w.Images, w.Window, w.Made})
	require.Len(t, f.Queues, 1)
	q := f.Queues[0]
	assert.Equal(t, durable.LaneStatus{Lane: durable.Lane{Owner: owner, Model: "one"}, Waiting: 1, Running: 1, Images: 3,
		Seconds: q.Seconds, Workers: 1}, q)
	assert.Positive(t, q.Seconds)
	assert.Equal(t, [3]int{1, 1, 0}, [3]int{f.Waiting, f.Running, f.Dead})
	close(g)
	for _, id := range []string{first, second} {
		require.Equal(t, "done", api.end(id).name)
	}
	want = []string{fmt.Sprintf(`daguerre_worker_runs{worker=%q} 0`, name), fmt.Sprintf(`daguerre_worker_images_made{worker=%q} 4`, name)}
	require.Eventually(t, func() bool { return has(api.lines(), want) }, long, 20*time.Millisecond, "%v", want)
	assert.NotContains(t, strings.Join(api.lines(), "\n"), "daguerre_fleet_queue_waiting{")
	assert.Empty(t, api.fleetOf().Queues)
}

func has(lines, want []string) bool {
	here := map[string]bool{}
	for _, l := range lines {
		here[l] = true
	}
	for _, l := range want {
		if !here[l] {
			return false
		}
	}
	return true
}

// TestFleetQueuesArePrivate has each of two owners see the own queue only, and an administrator both.
func TestFleetQueuesArePrivate(t *testing.T) {
	g := make(gate)
	defer close(g)
	s := servetest.Start(t, servetest.Options{Hook: g.hook, Serve: serve.Options{Tokens: tokens(t, "")}})
	c := of(t, s)
	for _, token := range []string{alice, bob} {
		c.as(token).submit(run())
	}
	for token, want := range map[string][]string{alice: {"alice"}, bob: {"bob"}, root: {"alice", "bob"}} {
		f := c.as(token).fleetOf()
		var owners []string
		for _, q := range f.Queues {
			owners = append(owners, q.Owner)
		}
		assert.Equal(t, want, owners)
		assert.Equal(t, len(want), f.Waiting+f.Running)
	}
}
