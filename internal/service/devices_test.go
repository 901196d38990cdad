package service

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// album is a Store in memory.
type album struct {
	mu       sync.Mutex
	pictures map[string][]byte
}

func (a *album) Put(_ context.Context, _, name string, data []byte) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pictures == nil {
		a.pictures = map[string][]byte{}
	}
	a.pictures[name] = data
	return name, nil
}

// TestTwoDevicesShareARun: a model that names two devices is opened on both, they compute at the same time, and the pictures are those of
// one device.
func TestTwoDevicesShareARun(t *testing.T) {
	one, two := shared(t, "cuda:0"), shared(t, "cuda:0,cuda:1")
	require.Len(t, one, 6)
	assert.Equal(t, one, two)
}

// shared makes six pictures on the devices of a list. No device ends its first step before each of them is in its own.
func shared(t *testing.T, devices string) map[string][]byte {
	t.Helper()
	var mu sync.Mutex
	backends, closed := map[string]*fake.Backend{}, 0
	var together sync.WaitGroup
	together.Add(len(devices+",") / len("cuda:0,"))
	s := New(Options{Open: func(ctx context.Context, cfg pipeline.Config) (*pipeline.Pipeline, error) {
		var once sync.Once
		b := &fake.Backend{Hook: func(_ context.Context, c fake.Call) error {
			if c.Op == fake.OpUNet {
				once.Do(func() {
					together.Done()
					together.Wait()
				})
			}
			return nil
		}}
		mu.Lock()
		backends[cfg.Device] = b
		mu.Unlock()
		return pipeline.Open(ctx, cfg, pipeline.WithBackend(b))
	}})
	ends := make(chan Ended, 1)
	ask := Ask{ID: "a", Tell: func(e Event) {
		if e, ok := e.(Ended); ok {
			ends <- e
		}
	}}
	run := jobs(6)
	run.Model = request.Model{Model: "nano", Device: devices}
	for i := range run.Jobs {
		run.Jobs[i].MaxBatch = 1
	}
	store := &album{}
	require.NoError(t, endOf(t, s.Make(ask, Work{Run: run, Delivery: Delivery{Store: store}}), ends))
	_, _, models, _ := s.Status("")
	require.Len(t, models, 1)
	assert.Equal(t, devices, models[0].Device)
	s.Close()
	for _, b := range backends {
		assert.Positive(t, b.Count(fake.OpUNet))
		if b.LiveModels() == 0 {
			closed++
		}
	}
	assert.Equal(t, len(backends), closed)
	return store.pictures
}

// TestOpenEachClosesWhatItOpened where a later device cannot be opened.
func TestOpenEachClosesWhatItOpened(t *testing.T) {
	b := &fake.Backend{}
	_, err := OpenEach(t.Context(), func(ctx context.Context, cfg pipeline.Config) (*pipeline.Pipeline, error) {
		if cfg.Device == "cuda:1" {
			return nil, assert.AnError
		}
		return pipeline.Open(ctx, cfg, pipeline.WithBackend(b))
	}, request.Model{Model: "nano", Device: "cuda:0,cuda:1"})
	require.ErrorIs(t, err, assert.AnError)
	assert.Zero(t, b.LiveModels())
	_, err = pipeline.Open(t.Context(), pipeline.Config{Model: "nano", Device: "cuda:0,cuda:1"}, pipeline.WithBackend(b))
	require.ErrorContains(t, err, `model.device: is "cuda:0,cuda:1"; a pipeline computes on one device`)
}
