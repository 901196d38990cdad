package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

func TestBatchesAcrossJobs(t *testing.T) {
	r := &tester{}
	m := start(t, Options{Paused: true}, r)
	var got [4]results
	var jobs []*Job[int, string]
	for i := range got {
		key := []string{"a", "b"}[i%2]
		jobs = append(jobs, submit(t, m, got[i].spec(key, 10*i, 10*i+1)))
	}
	m.Resume()
	for i, j := range jobs {
		require.NoError(t, j.Wait(t.Context()))
		assert.Equal(t, map[int]string{0: fmt.Sprint(10 * i), 1: fmt.Sprint(10*i + 1)}, got[i].got)
		assert.Equal(t, Status{Total: 2, Finished: 2}, j.Status())
	}
	assert.Equal(t, [][]int{{0, 1, 20, 21}, {10, 11, 30, 31}}, r.batches(), "two jobs in each batch")
}

func TestOutOfMemoryHalvesAndLosesNothing(t *testing.T) {
	r := &tester{}
	r.after = func(b *Batch[int, string], i int) error {
		if b.Len() > 1 && i == 1 { // one of the pictures is finished before memory runs out
			return fmt.Errorf("decoding: %w", backend.ErrOutOfMemory)
		}
		return nil
	}
	var got results
	m := start(t, Options{Paused: true}, r)
	j := submit(t, m, got.spec("a", upTo(8)...))
	m.Resume()
	require.NoError(t, j.Wait(t.Context()))
	assert.Len(t, got.got, 8)
	sizes := []int{}
	for _, b := range r.batches() {
		sizes = append(sizes, len(b))
	}
	assert.Equal(t, []int{4, 2, 1, 1, 1, 1, 1, 1}, sizes)
	assert.Equal(t, [][]int{{0, 1, 2, 3}, {1, 2}, {2}}, r.batches()[:3], "what was finished is not computed again")
	s := m.Snapshot()
	assert.Equal(t, []int64{8, 2, 4}, []int64{s.Finished, s.OutOfMemory, s.Retried})
	assert.Contains(t, s.Workers[0].Sizes[0].Why, "ran out of memory")
	assert.Equal(t, 2, r.trims)
}

func TestASinglePictureGetsRelief(t *testing.T) {
	for most, want := range map[Relief][]Relief{
		ReliefNone:      {ReliefNone, ReliefNone},
		ReliefTiling:    {ReliefNone, ReliefNone, ReliefTiling},
		ReliefStreaming: {ReliefNone, ReliefNone, ReliefTiling, ReliefStreaming},
	} {
		r := &tester{most: most, hook: func(context.Context, *Batch[int, string]) error { return backend.ErrOutOfMemory }}
		m := start(t, Options{}, r)
		var got results
		j := submit(t, m, got.spec("a", 1))
		err := j.Wait(t.Context())
		require.ErrorIs(t, err, backend.ErrOutOfMemory)
		var all *JobError
		require.ErrorAs(t, err, &all)
		assert.Equal(t, 1, all.Total)
		assert.Equal(t, want, r.reliefs, most.String())
		require.ErrorIs(t, got.bad[0], backend.ErrOutOfMemory)
	}
	// What helped once is where the next of the kind begins.
	r := &tester{most: ReliefStreaming, hook: func(_ context.Context, b *Batch[int, string]) error {
		if b.Relief() < ReliefTiling {
			return backend.ErrOutOfMemory
		}
		return nil
	}}
	m := start(t, Options{}, r)
	var got results
	require.NoError(t, submit(t, m, got.spec("a", 1, 2, 3)).Wait(t.Context()))
	assert.Len(t, got.got, 3)
	assert.Equal(t, ReliefTiling, r.reliefs[len(r.reliefs)-1])
	assert.Equal(t, []Relief{ReliefTiling, ReliefTiling}, r.reliefs[len(r.reliefs)-2:])
}

func TestOneBadTaskDoesNotSpoilItsBatch(t *testing.T) {
	broken := errors.New("broken")
	for name, spoil := range map[string]func(*Batch[int, string], int) error{
		"error of the batch": func(b *Batch[int, string], i int) error { return broken },
		"error of the task":  func(b *Batch[int, string], i int) error { b.Fail(i, broken); return nil },
		"panic":              func(b *Batch[int, string], i int) error { panic(broken.Error()) },
	} {
		t.Run(name, func(t *testing.T) {
			r := &tester{}
			r.after = func(b *Batch[int, string], i int) error {
				if b.Task(i).Value == 2 {
					return spoil(b, i)
				}
				return nil
			}
			m := start(t, Options{Paused: true, Retry: Retry{Attempts: 1}}, r)
			var got results
			j := submit(t, m, got.spec("a", upTo(4)...))
			m.Resume()
			err := j.Wait(t.Context())
			assert.ErrorContains(t, err, "1 of 4 pictures failed: picture 2: ")
			assert.ErrorContains(t, err, "broken")
			assert.Equal(t, map[int]string{0: "0", 1: "1", 3: "3"}, got.got)
			var te *TaskError
			require.ErrorAs(t, err, &te)
			assert.Equal(t, 2, te.Attempts)
		})
	}
}

func TestAnErrorOfOnResultFailsThatTask(t *testing.T) {
	m := start(t, Options{Retry: Retry{Attempts: 3}}, &tester{})
	full := errors.New("disk full")
	var told atomic.Int64
	j := submit(t, m, Spec[int, string]{Tasks: []Task[int]{{Key: "a"}, {Key: "a"}}, OnResult: func(i int, _ string) error {
		if i == 0 {
			return full
		}
		return nil
	}, OnError: func(i int, err error) { told.Add(1) }})
	require.ErrorIs(t, j.Wait(t.Context()), full)
	assert.Equal(t, Status{Total: 2, Finished: 1, Failed: 1}, j.Status())
	assert.Equal(t, int64(1), told.Load())
}

func TestPriorityAndFairness(t *testing.T) {
	r := &tester{max: 1}
	m := start(t, Options{Paused: true}, r)
	var got [4]results
	low := got[0].spec("a", 1, 1)
	low.Priority = -1
	jobs := []*Job[int, string]{submit(t, m, low), submit(t, m, got[1].spec("a", 2, 2, 2, 2)), submit(t, m, got[2].spec("b", 3, 3))}
	high := got[3].spec("b", 4)
	high.Priority = 7
	jobs = append(jobs, submit(t, m, high))
	m.Resume()
	for _, j := range jobs {
		require.NoError(t, j.Wait(t.Context()))
	}
	var order []int
	for _, b := range r.batches() {
		order = append(order, b[0])
	}
	assert.Equal(t, []int{4, 2, 3, 2, 3, 2, 2, 1, 1}, order)
}

func TestBackPressure(t *testing.T) {
	gate := make(chan struct{})
	r := &tester{max: 1, hook: func(context.Context, *Batch[int, string]) error { <-gate; return nil }}
	m := start(t, Options{QueueLimit: 3}, r)
	var big, next results
	submit(t, m, big.spec("a", upTo(5)...)) // larger than the queue, and taken since nothing waits
	_, err := m.TrySubmit(next.spec("a", 1))
	require.ErrorIs(t, err, ErrQueueFull)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = m.Submit(ctx, next.spec("a", 1))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	admitted := make(chan error)
	go func() { _, err := m.Submit(t.Context(), next.spec("a", 1)); admitted <- err }()
	close(gate)
	require.NoError(t, <-admitted)
	require.NoError(t, m.Drain(t.Context()))
	_, err = m.Submit(t.Context(), Spec[int, string]{})
	require.ErrorIs(t, err, ErrNoTasks)
	m.Close()
	_, err = m.Submit(t.Context(), next.spec("a", 1))
	require.ErrorIs(t, err, ErrClosed)
}

func TestCancelOneTask(t *testing.T) {
	begun, gate := make(chan struct{}), make(chan struct{})
	var stopped atomic.Bool
	r := &tester{hook: func(ctx context.Context, b *Batch[int, string]) error {
		begun <- struct{}{}
		<-gate
		stopped.Store(ctx.Err() != nil)
		return nil
	}}
	m := start(t, Options{Paused: true}, r)
	var got results
	j := submit(t, m, got.spec("a", upTo(3)...))
	m.Resume()
	<-begun
	assert.True(t, j.CancelTask(1))
	assert.False(t, j.CancelTask(1))
	assert.False(t, j.CancelTask(9))
	close(gate)
	require.ErrorIs(t, j.Wait(t.Context()), ErrCancelled)
	assert.Equal(t, map[int]string{0: "0", 2: "2"}, got.got)
	require.ErrorIs(t, got.bad[1], ErrCancelled)
	assert.False(t, stopped.Load(), "others of the batch go on")
	assert.Equal(t, int64(1), m.Snapshot().Cancelled)
}

func TestCancelFromACallback(t *testing.T) {
	m := start(t, Options{}, &tester{max: 1})
	var j *Job[int, string]
	ready := make(chan struct{})
	spec := Spec[int, string]{Tasks: make([]Task[int], 5), OnResult: func(i int, _ string) error {
		<-ready
		j.Cancel()
		return nil
	}}
	j = submit(t, m, spec)
	close(ready)
	require.ErrorIs(t, j.Wait(t.Context()), ErrCancelled)
	assert.Equal(t, Status{Total: 5, Finished: 1, Failed: 4}, j.Status())
}

func TestALostRunner(t *testing.T) {
	gone := errors.New("the device fell off")
	bad := &tester{name: "bad", hook: func(context.Context, *Batch[int, string]) error { return errors.Join(ErrRunnerLost, gone) }}
	good := &tester{name: "good"}
	m := start(t, Options{Paused: true}, bad, good)
	var got results
	j := submit(t, m, got.spec("a", upTo(20)...))
	m.Resume()
	require.NoError(t, j.Wait(t.Context()))
	assert.Len(t, got.got, 20)

	m = start(t, Options{}, bad)
	j = submit(t, m, got.spec("a", 1, 2))
	require.ErrorIs(t, j.Wait(t.Context()), gone)
	j = submit(t, m, got.spec("a", 3))
	require.ErrorIs(t, j.Wait(t.Context()), ErrRunnerLost)
}

// TestAThousandJobs sends jobs from many goroutines through runners with all kinds of trouble. Every task must end exactly
// once, with its own result.
func TestAThousandJobs(t *testing.T) {
	trouble := func(ctx context.Context, b *Batch[int, string]) error {
		switch rand.IntN(8) {
		case 0:
			return backend.ErrOutOfMemory
		case 1:
			return errors.New("flaky")
		case 2:
			b.Fail(rand.IntN(b.Len()), errors.New("flaky"))
		case 3:
			b.Fail(rand.IntN(b.Len()), backend.ErrOutOfMemory)
		}
		b.Step(1)
		return nil
	}
	var used atomic.Int64
	mem := func() Usage { return Usage{Used: used.Add(7) % 100, Limit: 90} }
	var events atomic.Int64
	m := start(t, Options{QueueLimit: 50, Retry: Retry{Attempts: 50}, OnEvent: func(Event) { events.Add(1) }},
		&tester{hook: trouble, most: ReliefStreaming, mem: mem}, &tester{hook: trouble, most: ReliefStreaming}, &tester{hook: trouble, max: 3})
	var wg sync.WaitGroup
	var finished, cancelled, memory, other atomic.Int64
	const jobs, senders = 1000, 20
	for s := range senders {
		wg.Go(func() {
			for k := range jobs / senders {
				n := 1 + rand.IntN(4)
				values := make([]int, n)
				for i := range values {
					values[i] = s*10000 + k*10 + i
				}
				var got results
				spec := got.spec(fmt.Sprint("key ", rand.IntN(4)), values...)
				spec.Priority = rand.IntN(2)
				j, err := m.Submit(context.Background(), spec)
				if !assert.NoError(t, err) {
					return
				}
				switch rand.IntN(10) {
				case 0:
					j.Cancel()
				case 1:
					j.CancelTask(0)
				}
				err = j.Wait(context.Background())
				got.mu.Lock()
				for i, v := range got.got {
					assert.Equal(t, fmt.Sprint(values[i]), v)
				}
				for i, e := range got.bad {
					assert.NotContains(t, got.got, i)
					switch {
					case errors.Is(e, ErrCancelled):
						cancelled.Add(1)
					case errors.Is(e, backend.ErrOutOfMemory):
						memory.Add(1)
					default:
						other.Add(1)
					}
				}
				assert.Len(t, got.bad, n-len(got.got))
				assert.Equal(t, len(got.bad) > 0, err != nil)
				finished.Add(int64(len(got.got)))
				got.mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.NoError(t, m.Drain(t.Context()))
	s := m.Snapshot()
	t.Logf("%d finished, %d cancelled, %d without memory in spite of all, %d failed otherwise; %d batches, %d retried, %d events",
		finished.Load(), cancelled.Load(), memory.Load(), other.Load(), s.Batches, s.Retried, events.Load())
	assert.Equal(t, []int64{finished.Load(), cancelled.Load() + memory.Load() + other.Load()}, []int64{s.Finished, s.Failed})
	assert.Equal(t, s.Submitted, s.Finished+s.Failed)
	assert.Zero(t, s.Queued+s.Running+s.Jobs)
	assert.Zero(t, other.Load(), "50 attempts are enough")
	assert.Greater(t, finished.Load(), s.Submitted*6/10)
}
