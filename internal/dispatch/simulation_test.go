package dispatch_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "gocloud.dev/blob/memblob" // mem://

	"github.com/daguerre-go/daguerre/internal/blobs"
	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/dispatch"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/studio"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// simModel is a model of a simulated fleet, and how long it takes.
type simModel struct {
	name   string
	load   time.Duration // of the model
	first  time.Duration // of a step, for the first picture of a batch
	more   time.Duration // for each of the others
	decode time.Duration // of a picture
}

// simModels are about SDXL with three kinds of settings on a GPU.
var simModels = []simModel{
	{"base", 20 * time.Second, 250 * time.Millisecond, 200 * time.Millisecond, 100 * time.Millisecond},
	{"turbo", 20 * time.Second, 120 * time.Millisecond, 80 * time.Millisecond, 100 * time.Millisecond},
	{"large", 40 * time.Second, 500 * time.Millisecond, 400 * time.Millisecond, 200 * time.Millisecond},
}

// simSteps is how many steps each picture has, and simBatch the largest batch.
const (
	simSteps = 4
	simBatch = 16
)

// best is the least time of a picture.
func (m simModel) best() time.Duration {
	return simSteps*(m.first+(simBatch-1)*m.more)/simBatch + m.decode
}

// simulation is a fleet in a bubble of synctest: the queue, the NATS server, the API, workers, services and pipelines are the real ones,
// but computing is a time in a table. So all that is not computing takes no time.
type simulation struct {
	t       *testing.T
	log     *slog.Logger
	api     *durable.Queue
	store   *blobs.Store
	studio  *studio.Studio
	catalog *catalog.Catalog

	mu      sync.Mutex
	loads   map[string]int
	loading time.Duration // of all workers
	worked  time.Duration // computing, of all workers
	batches int
	rested  map[string]time.Time // when each worker has computed at last
	traffic durable.Traffic
}

// simulate starts a fleet without workers. Files go into a folder.
func simulate(ctx context.Context, t *testing.T, dir string) *simulation {
	s := &simulation{t: t, log: slog.New(slog.DiscardHandler), loads: map[string]int{}, rested: map[string]time.Time{}}
	if *simTurns {
		s.log = slog.New(slog.NewTextHandler(turnsOnly{os.Stdout}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	var o catalog.Options
	for _, m := range simModels {
		path := filepath.Join(dir, m.name+".safetensors")
		require.NoError(t, os.WriteFile(path, []byte{2, 0, 0, 0, 0, 0, 0, 0, '{', '}'}, 0o600))
		o.Models = append(o.Models, m.name+"="+path)
	}
	var err error
	s.catalog, err = catalog.New(o)
	require.NoError(t, err)
	s.store, err = blobs.Open(ctx, "mem://")
	require.NoError(t, err)
	s.api, err = durable.Open(ctx, durable.Options{Dir: dir, Log: s.log})
	require.NoError(t, err)
	s.studio = studio.New(studio.Options{Queue: s.api, Store: s.store, Catalog: s.current, Log: s.log, Limit: 1 << 20})
	return s
}

func (s *simulation) current() *catalog.Catalog { return s.catalog }

// submit submits a run.
func (s *simulation) submit(ctx context.Context, owner string, m simModel, images int, seed int) string {
	body := fmt.Sprintf(`{"model": %q, "prompt": "p", "seed": %d, "num_images": %d, "num_inference_steps": %d, "width": 64, "height": 64}`,
		m.name, seed, images, simSteps)
	r, _, err := s.studio.Submit(ctx, studio.Caller{Owner: owner}, studio.Submission{Body: []byte(body)})
	require.NoError(s.t, err)
	return r.ID
}

// opened opens a model of the fake for a worker, which takes as long as its simModel says.
func (s *simulation) opened(ctx context.Context, worker string, cfg pipeline.Config) (*pipeline.Pipeline, error) {
	for _, m := range simModels {
		if filepath.Base(cfg.Model) != m.name+".safetensors" {
			continue
		}
		s.mu.Lock()
		s.loads[m.name]++
		s.loading += m.load
		s.mu.Unlock()
		return pipeline.Open(ctx, cfg, pipeline.WithBackend(&fake.Backend{Hook: func(ctx context.Context, call fake.Call) error {
			var d time.Duration
			switch call.Op {
			case fake.OpOpen:
				d = m.load
			case fake.OpUNet:
				d = m.first + time.Duration(call.Batch/2-1)*m.more // guidance doubles the batch
			case fake.OpDecodeLatents:
				d = time.Duration(call.Batch) * m.decode
			}
			select {
			case <-time.After(d):
			case <-ctx.Done():
			}
			if ctx.Err() == nil && d > 0 && call.Op != fake.OpOpen {
				s.compute(worker, d, call.Op == fake.OpDecodeLatents)
			}
			return ctx.Err()
		}}))
	}
	return nil, fmt.Errorf("there is no model %s", cfg.Model)
}

// compute counts computing.
func (s *simulation) compute(worker string, d time.Duration, decode bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.worked += d
	if decode {
		s.batches++
	}
	s.rested[worker] = time.Now()
}

// worker is a process that works until ctx ends, or until it dies: then the queue hears nothing any more.
func (s *simulation) worker(ctx context.Context, name string, dies <-chan struct{}) {
	q, err := durable.Open(ctx, durable.Options{Beside: s.api, Access: durable.Joins, Log: s.log})
	require.NoError(s.t, err)
	open := func(ctx context.Context, cfg pipeline.Config) (*pipeline.Pipeline, error) {
		return s.opened(ctx, name, cfg)
	}
	made := service.New(service.Options{MaxModels: 1, Limit: 1 << 20, Open: open})
	w := dispatch.New(dispatch.Options{Queue: q, Store: s.store, Service: made, Catalog: s.current, Name: name, Shared: true, Log: s.log,
		Grace: time.Nanosecond})
	working, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-dies:
			s.mu.Lock()
			delete(s.rested, name)
			s.mu.Unlock()
			s.count(q)
			q.Close()
			made.Abort(context.Canceled)
		case <-ctx.Done():
		}
		stop()
	}()
	w.Run(working)
	<-ended
	s.count(q)
	made.Abort(context.Canceled)
	made.Close()
	q.Close()
}

// count adds what a worker has exchanged with the queue.
func (s *simulation) count(q *durable.Queue) {
	t := q.Traffic()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.traffic.ReceivedMessages += t.ReceivedMessages
	s.traffic.ReceivedBytes += t.ReceivedBytes
	s.traffic.SentMessages += t.SentMessages
	s.traffic.SentBytes += t.SentBytes
}

// turnsOnly passes on the lines of a log that tell of turning to another model.
type turnsOnly struct{ io.Writer }

func (w turnsOnly) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("turns to another model")) {
		return w.Writer.Write(line)
	}
	return len(line), nil
}
