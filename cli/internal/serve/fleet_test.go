package serve_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/cli/internal/serve/servetest"
	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

// fleet starts servers that share their runs: one that makes none, and then the others.
func fleet(t *testing.T, others ...servetest.Options) (api *client, workers []*servetest.Server) {
	url, dir := servetest.NATS(t), t.TempDir()
	start := func(o servetest.Options) *servetest.Server {
		o.Dir, o.Queue.URL = dir, url
		if o.Queue.AckWait == 0 {
			o.Queue.AckWait = 2 * time.Second
		}
		return servetest.Start(t, o)
	}
	var all catalog.Options
	for _, o := range others {
		all.Models, all.LoRAs = append(all.Models, o.Catalog.Models...), o.Catalog.LoRAs
	}
	api = of(t, start(servetest.Options{Idle: true, Catalog: all}))
	for _, o := range others {
		workers = append(workers, start(o))
	}
	return api, workers
}

// state waits until a run is in a state.
func (c *client) state(id, want string) {
	c.t.Helper()
	require.Eventually(c.t, func() bool { return c.do("GET", "/v1/runs/"+id, nil).table(c.t)["state"] == want }, long, time.Millisecond)
}

// TestFleetCancels gives up a run at a server that does not make it: the worker's computation ends.
func TestFleetCancels(t *testing.T) {
	began, ended := make(chan struct{}, 100), make(chan error, 100)
	api, _ := fleet(t, servetest.Options{Hook: func(ctx context.Context, call fake.Call) error {
		if call.Op != fake.OpUNet {
			return nil
		}
		began <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}})
	id := api.submit(run())
	<-began
	require.Equal(t, 200, api.do("POST", "/v1/runs/"+id+"/cancel", nil).status)
	assert.ErrorIs(t, <-ended, context.Canceled)
	assert.Equal(t, "cancelled", api.end(id).data["state"])
}

// TestFleetAdapts changes an adapter's weight at a server that does not make the run: the worker computes the next steps with it.
func TestFleetAdapts(t *testing.T) {
	loras := t.TempDir()
	writeAdapter(t, filepath.Join(loras, "outline.safetensors"))
	steps, changed := make(chan []float32), make(chan struct{})
	files := catalog.Options{LoRAs: []string{loras}, Models: []string{"nano"}}
	api, _ := fleet(t, servetest.Options{Catalog: files, Hook: func(ctx context.Context, call fake.Call) error {
		if call.Op != fake.OpUNet {
			return nil
		}
		select {
		case steps <- call.LoRAs:
		case <-changed:
		case <-ctx.Done():
		}
		return ctx.Err()
	}})
	id := api.submit(run("num_inference_steps", 1000, "lora", []any{map[string]any{"name": "outline", "weight": 0.25}}))
	weight := func() float32 {
		select {
		case w := <-steps:
			require.NotEmpty(t, w)
			return w[0]
		case <-time.After(long):
			t.Fatal("the run ended, or stands still: ", string(api.do("GET", "/v1/runs/"+id, nil).body))
			return 0
		}
	}
	first := weight()
	require.NotZero(t, first)
	a := api.do("PATCH", "/v1/runs/"+id+"/adapters/outline", map[string]any{"weight": 0.75})
	require.Equal(t, 200, a.status, string(a.body))
	for weight() != 3*first { // the change is on its way; of 1000 steps enough are left
		time.Sleep(10 * time.Millisecond)
	}
	close(changed)
	require.Equal(t, "done", api.end(id).name)
}

// TestFleetDrains stops a worker that has more runs than it has begun with: another one makes the rest, and nobody counts as dead.
func TestFleetDrains(t *testing.T) {
	g := make(gate)
	api, workers := fleet(t, servetest.Options{Hook: g.hook})
	var ids []string
	for range 8 {
		ids = append(ids, api.submit(run("max_batch", 1)))
	}
	g <- struct{}{} // the first step of the first picture
	for _, id := range ids {
		api.state(id, "running")
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		workers[0].Stop()
	}()
	require.Eventually(t, func() bool { // of one, whichever came first, a picture was begun with
		queued := 0
		for _, id := range ids {
			if r := api.do("GET", "/v1/runs/"+id, nil).table(t); r["state"] == "queued" && r["attempt"] == nil {
				queued++
			}
		}
		return queued == len(ids)-1
	}, long, time.Millisecond)
	close(g)
	<-stopped
	servetest.Start(t, servetest.Options{Dir: workers[0].Dir, Queue: durable.Options{URL: workers[0].Nats}})
	for _, id := range ids {
		require.Equal(t, "done", api.end(id).name)
		assert.EqualValues(t, 1, api.do("GET", "/v1/runs/"+id, nil).table(t)["attempt"])
	}
}

// TestFleetModels has a worker for each of two models: each takes only runs that it can make, and says what it has.
func TestFleetModels(t *testing.T) {
	var mu sync.Mutex
	opened := map[string]int{}
	worker := func(model string) servetest.Options {
		return servetest.Options{Catalog: catalog.Options{Models: []string{model + "=nano"}},
			Hook: func(_ context.Context, call fake.Call) error {
				mu.Lock()
				defer mu.Unlock()
				if call.Op == fake.OpOpen {
					opened[model]++
				}
				return nil
			}}
	}
	api, workers := fleet(t, worker("one"), worker("two"))
	for i := range 6 {
		model := []string{"one", "two"}[i%2]
		id := api.submit(run("model", model))
		require.Equal(t, "done", api.end(id).name)
		assert.Equal(t, workers[i%2].Worker.Name(), workerOf(t, workers[0], id))
	}
	assert.Equal(t, map[string]int{"one": 1, "two": 1}, opened)
	require.Eventually(t, func() bool {
		loaded := map[string]string{}
		for _, w := range workers[0].Queue.Workers() {
			loaded[w.Name] = fmt.Sprint(w.Models, w.Loaded)
		}
		return loaded[workers[0].Worker.Name()] == "[one] [one]" && loaded[workers[1].Worker.Name()] == "[two] [two]"
	}, long, time.Millisecond)
}

// workerOf is the name of the worker that made a run.
func workerOf(t *testing.T, s *servetest.Server, id string) string {
	r, err := s.Queue.Get(context.Background(), servetest.Local.Owner, id)
	require.NoError(t, err)
	return r.Worker
}

// writeAdapter writes an adapter of the fake's UNet.
func writeAdapter(t *testing.T, path string) {
	const name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
	header := fmt.Sprintf(`{"%[1]s.lora_down.weight":{"dtype":"F32","shape":[1,16],"data_offsets":[0,64]},`+
		`"%[1]s.lora_up.weight":{"dtype":"F32","shape":[16,1],"data_offsets":[64,128]}}`, name)
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	require.NoError(t, os.WriteFile(path, append(append(file, header...), make([]byte, 128)...), 0o600))
}

// TestFleetBeforeItsWorkers: an API node that has not heard of a model asks to come again, and says why.
func TestFleetBeforeItsWorkers(t *testing.T) {
	api := of(t, servetest.Start(t, servetest.Options{Idle: true, Catalog: catalog.Options{ModelDirs: []string{t.TempDir()}}}))
	got := api.do("POST", "/v1/runs", run())
	assert.Equal(t, 503, got.status)
	assert.Equal(t, "4", got.header.Get("Retry-After"))
	assert.Contains(t, string(got.body), "no worker has told its models yet")
}
