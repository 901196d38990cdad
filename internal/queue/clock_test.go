package queue

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tests of this file are about time, and run by the clock of synctest: nothing comes late on a busy machine.

func TestRetries(t *testing.T) { synctest.Test(t, testRetries) }

func testRetries(t *testing.T) {
	var tries atomic.Int64
	r := &tester{hook: func(context.Context, *Batch[int, string]) error {
		if tries.Add(1) < 3 {
			return errors.New("flaky")
		}
		return nil
	}}
	m := start(t, Options{Retry: Retry{Attempts: 2, Delay: 5 * time.Millisecond}}, r)
	var got results
	began := time.Now()
	require.NoError(t, submit(t, m, got.spec("a", 1)).Wait(t.Context()))
	assert.Equal(t, 15*time.Millisecond, time.Since(began), "the delay doubles")
	assert.Equal(t, int64(2), m.Snapshot().Retried)

	tries.Store(0)
	m2 := start(t, Options{Retry: Retry{Attempts: 5, Retryable: func(error) bool { return false }}}, r)
	require.ErrorContains(t, submit(t, m2, got.spec("a", 1)).Wait(t.Context()), "flaky")
	assert.Equal(t, int64(1), tries.Load())
}

func TestCancelOfAllStopsTheBatch(t *testing.T) {
	for name, stop := range map[string]func(m *Manager[int, string], j *Job[int, string]){
		"cancel":   func(_ *Manager[int, string], j *Job[int, string]) { j.Cancel() },
		"one each": func(_ *Manager[int, string], j *Job[int, string]) { j.CancelTask(0); j.CancelTask(1); j.CancelTask(2) },
		"close":    func(m *Manager[int, string], _ *Job[int, string]) { m.Close() },
		"deadline": func(*Manager[int, string], *Job[int, string]) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun, ended := make(chan struct{}), make(chan struct{})
				r := &tester{max: 2, hook: func(ctx context.Context, _ *Batch[int, string]) error {
					close(begun)
					<-ctx.Done()
					close(ended)
					return ctx.Err()
				}}
				m := start(t, Options{Paused: true}, r)
				var got results
				spec := got.spec("a", upTo(3)...)
				if name == "deadline" {
					spec.Deadline = time.Now().Add(20 * time.Millisecond)
				}
				j := submit(t, m, spec)
				m.Resume()
				<-begun
				stop(m, j)
				<-ended
				err := j.Wait(t.Context())
				want := map[string]error{"cancel": ErrCancelled, "one each": ErrCancelled, "close": ErrClosed,
					"deadline": context.DeadlineExceeded}[name]
				require.ErrorIs(t, err, want)
				assert.Len(t, got.bad, 3)
				assert.Empty(t, got.got)
				assert.Len(t, r.batches(), 1, "what waited was never begun")
			})
		})
	}
}

func TestWorkIsSharedBySpeed(t *testing.T) { synctest.Test(t, testWorkIsSharedBySpeed) }

func testWorkIsSharedBySpeed(t *testing.T) {
	takes := func(d time.Duration) func(context.Context, *Batch[int, string]) error {
		return func(context.Context, *Batch[int, string]) error { time.Sleep(d); return nil }
	}
	slow := &tester{name: "slow", max: 1, hook: takes(200 * time.Millisecond)}
	fast := &tester{name: "fast", max: 1, hook: takes(10 * time.Millisecond)}
	m := start(t, Options{Paused: true}, slow, fast)
	var got results
	j := submit(t, m, got.spec("a", upTo(48)...))
	m.Resume()
	require.NoError(t, j.Wait(t.Context()))
	assert.Greater(t, len(fast.batches()), 2*len(slow.batches()))
	assert.GreaterOrEqual(t, len(slow.batches()), 2)
	s := m.Snapshot()
	assert.Greater(t, s.Workers[1].Speed, 2*s.Workers[0].Speed)
}
