package serve_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/cli/internal/serve/servetest"
	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/dispatch"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

// TestFleetSplits has two workers make one run. Neither goes on before both have begun, so both must have a part of it.
func TestFleetSplits(t *testing.T) {
	var both sync.WaitGroup
	both.Add(2)
	worker := func() servetest.Options {
		first := sync.OnceFunc(func() {
			both.Done()
			both.Wait()
		})
		return servetest.Options{Window: 8, Hook: func(_ context.Context, call fake.Call) error {
			if call.Op == fake.OpUNet {
				first()
			}
			return nil
		}}
	}
	api, workers := fleet(t, worker(), worker())
	require.Eventually(t, func() bool { return len(workers[0].Queue.Workers()) == 2 && len(workers[1].Queue.Workers()) == 2 }, long,
		time.Millisecond)
	id := api.submit(run("num_images", 16))
	require.Equal(t, "done", api.end(id).name)
	r := api.do("GET", "/v1/runs/"+id, nil).table(t)
	assert.EqualValues(t, 16, r["made"])
	assert.EqualValues(t, 1, r["attempt"])
	seeds := map[any]bool{}
	for _, p := range r["pictures"].([]any) {
		seeds[p.(map[string]any)["seed"]] = true
	}
	assert.Len(t, seeds, 16)
	kept, err := workers[0].Queue.Get(context.Background(), servetest.Local.Owner, id)
	require.NoError(t, err)
	makers := map[string]bool{}
	for _, p := range kept.Pieces {
		makers[p.Worker] = true
	}
	assert.Len(t, makers, 2)
}

// TestFleetSharesBatches has compatible pictures of several runs that wait: the worker computes them together.
func TestFleetSharesBatches(t *testing.T) {
	var mu sync.Mutex
	largest := 0
	g := make(gate)
	api, _ := fleet(t, servetest.Options{Hook: func(ctx context.Context, call fake.Call) error {
		if call.Op == fake.OpUNet {
			mu.Lock()
			largest = max(largest, call.Batch)
			mu.Unlock()
		}
		return g.hook(ctx, call)
	}})
	var ids []string
	for i := range 9 {
		ids = append(ids, api.submit(run("seed", i, "guidance_scale", 1)))
	}
	for _, id := range ids {
		api.state(id, "running")
	}
	close(g)
	for _, id := range ids {
		require.Equal(t, "done", api.end(id).name)
	}
	mu.Lock()
	defer mu.Unlock()
	assert.Greater(t, largest, 1, "pictures of several runs are in one batch")
}

// TestFleetOutOfMemory has a worker whose memory is too small for any picture: it leaves the runs to another one, and takes less at a time.
func TestFleetOutOfMemory(t *testing.T) {
	api, workers := fleet(t, servetest.Options{Hook: func(_ context.Context, call fake.Call) error {
		if call.Op == fake.OpUNet {
			return fmt.Errorf("planted: %w", backend.ErrOutOfMemory)
		}
		return nil
	}})
	// Another worker is heard of, which takes nothing yet.
	ctx, stop := context.WithCancel(context.Background())
	var announced sync.WaitGroup
	announced.Go(func() {
		for ctx.Err() == nil {
			_ = workers[0].Queue.Announce(ctx, durable.Presence{Name: "large", Models: []string{"nano"}})
			time.Sleep(10 * time.Millisecond)
		}
	})
	require.Eventually(t, func() bool { return len(workers[0].Queue.Workers()) == 2 }, long, time.Millisecond)
	id := api.submit(run("num_images", 2))
	require.Eventually(t, func() bool {
		r, err := workers[0].Queue.Get(ctx, servetest.Local.Owner, id)
		return err == nil && len(r.Pieces) > 0 && len(r.Pieces[0].Tried) == 1
	}, long, time.Millisecond)
	large := servetest.Start(t, servetest.Options{Dir: workers[0].Dir, Queue: durable.Options{URL: workers[0].Nats}})
	require.Equal(t, "done", api.end(id).name)
	assert.Equal(t, large.Worker.Name(), workerOf(t, large, id))
	require.Eventually(t, func() bool {
		for _, w := range large.Queue.Workers() {
			if w.Name == workers[0].Worker.Name() {
				return w.Window < dispatch.DefaultWindow/2
			}
		}
		return false
	}, long, time.Millisecond)
	large.Stop()
	stop()
	announced.Wait()
	require.NoError(t, workers[0].Queue.Leave(context.Background(), "large"))
	require.Eventually(t, func() bool { return len(workers[0].Queue.Workers()) == 1 }, long, time.Millisecond)
	id = api.submit(run())
	last := api.end(id)
	require.Equal(t, "error", last.name, "nobody is left who could make it")
	assert.Equal(t, "out_of_memory", last.data["error"].(map[string]any)["code"])
}

// TestFleetStoreAway has a store that cannot be read when a run is begun with: the run waits for it, and does not fail.
func TestFleetStoreAway(t *testing.T) {
	o := servetest.Options{Dir: t.TempDir(), Queue: durable.Options{URL: servetest.NATS(t)}, Idle: true}
	api := of(t, servetest.Start(t, o))
	a := api.do("POST", "/v1/uploads", pngFile(t), "Content-Type", "application/octet-stream")
	require.Equal(t, 201, a.status, string(a.body))
	upload := a.table(t)
	id := api.submit(run("init_image", upload["ref"], "strength", 1.0))
	// A link to itself cannot be read, and is there.
	path := filepath.Join(o.Dir, "store", "uploads", servetest.Local.Owner, upload["id"].(string))
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Symlink(path, path))
	o.Idle = false
	worker := servetest.Start(t, o)
	require.Eventually(t, func() bool { return strings.Contains(worker.Log.String(), "the run is tried again") }, long, time.Millisecond)
	api.state(id, "queued")
	assert.Nil(t, api.do("GET", "/v1/runs/"+id, nil).table(t)["attempt"])
	require.Equal(t, 200, api.do("POST", "/v1/runs/"+id+"/cancel", nil).status)
}

// TestFleetLacksAFile has a worker without the adapter that runs name: it leaves them to one that has it, and fails them only where nobody
// has.
func TestFleetLacksAFile(t *testing.T) {
	dir := t.TempDir()
	writeAdapter(t, filepath.Join(dir, "stripes.safetensors"))
	api, workers := fleet(t, servetest.Options{}, servetest.Options{Catalog: catalog.Options{LoRAs: []string{dir}}})
	bare, rich := workers[0], workers[1]
	require.Eventually(t, func() bool { return len(bare.Queue.Workers()) == 2 }, long, time.Millisecond)
	striped := run("lora", []any{map[string]any{"name": "stripes"}})
	left := false
	for began := time.Now(); !left && time.Since(began) < long; {
		id := api.submit(striped)
		require.Equal(t, "done", api.end(id).name)
		assert.Equal(t, rich.Worker.Name(), workerOf(t, rich, id))
		left = strings.Contains(bare.Log.String(), "it is left to another one")
	}
	assert.True(t, left, "the worker without the adapter was asked, too")
	rich.Stop()
	require.Eventually(t, func() bool { return len(bare.Queue.Workers()) == 1 }, long, time.Millisecond)
	last := api.end(api.submit(striped))
	require.Equal(t, "error", last.name, "nobody is left who has it")
	assert.Contains(t, fmt.Sprint(last.data), "stripes")
}
