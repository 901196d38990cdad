package service

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestAnOrderWithoutAModel is made on the one used last, whose name its pictures tell.
func TestAnOrderWithoutAModel(t *testing.T) {
	var of request.Model
	s := New(Options{
		Open: func(ctx context.Context, cfg pipeline.Config) (*pipeline.Pipeline, error) {
			return pipeline.Open(ctx, cfg, pipeline.WithBackend(&fake.Backend{}))
		},
		Texts: func(_ context.Context, m request.Model, _ *pipeline.Result, _ pipeline.Image) ([]imagefile.Text, error) {
			of = m
			return nil, nil
		},
	})
	defer s.Close()
	ends := make(chan Ended, 10)
	var names []string
	ask := func(id string) Ask {
		return Ask{ID: id, Tell: func(e Event) {
			switch e := e.(type) {
			case Picture:
				names = append(names, e.Path)
			case Ended:
				ends <- e
			}
		}}
	}
	run := jobs(2)
	run.Model = request.Model{}
	assert.Equal(t, CodeNotFound, s.Explain(endOf(t, s.Make(ask("early"), Work{Run: run}), ends)).Code)
	require.NoError(t, endOf(t, s.Load(ask("load"), "n", request.Model{Model: "nano"}), ends))
	run.Jobs[0].Output = "{model}.png"
	require.NoError(t, endOf(t, s.Make(ask("made"), Work{Run: run, Delivery: Delivery{Store: &shelf{}}}), ends))
	assert.Contains(t, names, "nano.png")
	assert.Equal(t, "nano", of.Model)
}

// TestReload: a model that was open before is tried again, at once and for each order, and takes the place of the one used last only where
// that is said.
func TestReload(t *testing.T) {
	failures := 3
	s := New(Options{MaxModels: 2,
		Open: func(ctx context.Context, cfg pipeline.Config) (*pipeline.Pipeline, error) {
			if failures--; failures >= 0 {
				return nil, errors.New("the device is still in use")
			}
			return pipeline.Open(ctx, cfg, pipeline.WithBackend(&fake.Backend{}))
		},
	})
	defer s.Close()
	ends := make(chan Ended, 10)
	ask := func(id string) Ask {
		return Ask{ID: id, Tell: func(e Event) {
			if e, ok := e.(Ended); ok {
				ends <- e
			}
		}}
	}
	require.NoError(t, endOf(t, s.Reload(ask("a"), "n", request.Model{Model: "nano"}, false), ends))
	lastOpen := func() request.Run { // for the model that was used last
		run := jobs(1)
		run.Model = request.Model{}
		return run
	}
	assert.Equal(t, CodeNotFound, s.Explain(endOf(t, s.Make(ask("none is the last"), Work{Run: lastOpen()}), ends)).Code)
	failures = 100
	require.Error(t, endOf(t, s.Reload(ask("b"), "m", request.Model{Model: "nano", Threads: 2}, true), ends))
	assert.Less(t, failures, 96, "several tries")
	require.ErrorContains(t, endOf(t, s.Make(ask("still"), Work{Run: lastOpen()}), ends), "still in use")
	failures = 0
	require.NoError(t, endOf(t, s.Make(ask("now"), Work{Run: lastOpen(), Delivery: Delivery{Store: &shelf{}}}), ends))
	run := jobs(1)
	run.Model = request.Model{Model: "n"}
	require.NoError(t, endOf(t, s.Make(ask("named"), Work{Run: run, Delivery: Delivery{Store: &shelf{}}}), ends))
}

// TestIdleAfterTheEndIsTold: an order's id is free before its end is told, but only then is nothing left to do. Who waits for Idle and
// closes the output would lose the answer otherwise.
func TestIdleAfterTheEndIsTold(t *testing.T) {
	s := New(Options{})
	defer s.Close()
	tells, proceed := make(chan struct{}), make(chan struct{})
	nothing := func(context.Context) (any, error) { return nil, nil }
	require.NoError(t, s.Do(Ask{ID: "a", Tell: func(Event) { close(tells); <-proceed }}, false, nothing))
	<-tells
	assert.False(t, s.Has("a"), "its id is free")
	n, told := s.Idle()
	assert.Equal(t, 1, n)
	close(proceed)
	<-told
	n, _ = s.Idle()
	assert.Zero(t, n)
}

// endOf waits for the end of an order and returns its error.
func endOf(t *testing.T, err error, ends chan Ended) error {
	t.Helper()
	require.NoError(t, err)
	return (<-ends).Err
}
