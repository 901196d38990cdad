package service

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// shelf is a Store in memory that keeps names only.
type shelf struct {
	mu    sync.Mutex
	names []string
	err   error
}

func (s *shelf) Put(_ context.Context, _, name string, _ []byte) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = append(s.names, name)
	return name, s.err
}

// jobs are n quick jobs.
func jobs(n int) request.Run {
	run := request.Run{Model: request.Model{Model: "nano"}}
	for i := range n {
		run.Jobs = append(run.Jobs, request.Request{Prompt: fmt.Sprintf("number %d", i), Width: 64, Height: 64, NumInferenceSteps: 1,
			Seed:   int64(i),
			Output: "{job}.png"})
	}
	return run
}

// made runs a Work on the fake backend.
func made(t *testing.T, b *fake.Backend, w Work, hear func(Event), begin func(*Run)) *Run {
	t.Helper()
	pipe, err := pipeline.Open(t.Context(), pipeline.Config{Model: "nano", TextCache: -1}, pipeline.WithBackend(b))
	require.NoError(t, err)
	defer func() { require.NoError(t, pipe.Close()) }()
	batcher := pipeline.NewBatcher(pipeline.BatcherOptions{QueueLimit: 1 << 30}, pipe)
	defer batcher.Close()
	var mu sync.Mutex
	w.Now = time.Now
	r := NewRun(t.Context(), w, func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		hear(e)
	})
	if begin != nil {
		begin(r)
	}
	require.NoError(t, r.Start(batcher))
	<-r.Done()
	return r
}

// TestMemoryGrowsWithWhatIsInWork holds that a job that is planned, or done, takes little more than its request.
func TestMemoryGrowsWithWhatIsInWork(t *testing.T) {
	live := func(n int) uint64 {
		var samples []uint64 // other goroutines allocate meanwhile: the middle one counts
		b := &fake.Backend{Hook: func(_ context.Context, c fake.Call) error {
			if c.Op == fake.OpUNet && c.Nth%40 == 1 {
				runtime.GC()
				live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}} // not what was allocated since
				metrics.Read(live)
				samples = append(samples, live[0].Value.Uint64())
			}
			return nil
		}}
		w := Work{Run: jobs(n), Delivery: Delivery{Store: &shelf{}, Images: ImagesPath, Quiet: true}, Window: 64}
		r := made(t, b, w, func(Event) {}, nil)
		assert.Equal(t, n, r.Result().Images)
		slices.Sort(samples)
		return samples[len(samples)/2]
	}
	small, large := live(200), live(2000)
	perJob := (float64(large) - float64(small)) / 1800
	t.Logf("%d and %d KiB, %.0f bytes for each job more", small>>10, large>>10, perJob)
	assert.Less(t, perJob, 6000.0, "a job that is planned took 39 KB once; a busy machine measures 1 to 4")
}

// TestJobsThatCannotBePrepared fail alone, wherever in the run they are.
func TestJobsThatCannotBePrepared(t *testing.T) {
	run := jobs(40)
	run.Jobs[0].InitImage.Path, run.Jobs[30].InitImage.Path = "/none.png", "/none.png"
	b := &fake.Backend{}
	var failed, ended []int
	r := made(t, b, Work{Run: run, Delivery: Delivery{Store: &shelf{}}, Window: 8}, func(e Event) {
		switch e := e.(type) {
		case JobFailed:
			assert.Nil(t, e.Index)
			failed = append(failed, e.Job)
		case JobEnded:
			ended = append(ended, e.Job)
		}
	}, nil)
	assert.Equal(t, []int{0, 30}, failed)
	assert.Len(t, ended, 40)
	result := r.Result()
	assert.Equal(t, 38, result.Images)
	assert.Equal(t, 2, result.Failed)
	assert.NoError(t, result.Err, "something was made")
	assert.Len(t, result.Seeds, 38)
}

// TestARunIsGivenUp ends with the cause, and begins with no other job.
func TestARunIsGivenUp(t *testing.T) {
	cause := errors.New("enough")
	ctx, stop := context.WithCancelCause(t.Context())
	b := &fake.Backend{}
	pipe, err := pipeline.Open(t.Context(), pipeline.Config{Model: "nano"}, pipeline.WithBackend(b))
	require.NoError(t, err)
	defer func() { require.NoError(t, pipe.Close()) }()
	batcher := pipeline.NewBatcher(pipeline.BatcherOptions{QueueLimit: 1 << 30}, pipe)
	defer batcher.Close()
	var r *Run
	r = NewRun(ctx, Work{Run: jobs(500), Delivery: Delivery{Store: &shelf{}}, Window: 16, Now: time.Now}, func(e Event) {
		if p, ok := e.(Picture); ok && p.Job == 40 {
			stop(cause)
			go r.Cancel()
		}
	})
	require.NoError(t, r.Start(batcher))
	<-r.Done()
	assert.ErrorIs(t, r.Result().Err, cause)
	assert.Less(t, r.Result().Images, 100)
}

// TestCancelPicture gives up pictures of jobs that wait, are in the queue, or have ended.
func TestCancelPicture(t *testing.T) {
	run := jobs(20)
	run.Jobs[19].NumImages = 2
	entered, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b := &fake.Backend{Hook: func(_ context.Context, c fake.Call) error {
		if c.Op == fake.OpUNet {
			once.Do(func() { close(entered); <-proceed })
		}
		return nil
	}}
	code := func(err error) Code {
		e, _ := errors.AsType[*Error](err)
		require.NotNil(t, e)
		return e.Code
	}
	r := made(t, b, Work{Run: run, Delivery: Delivery{Store: &shelf{}}, Window: 4}, func(Event) {}, func(r *Run) {
		go func() {
			<-entered
			assert.NoError(t, r.CancelPicture(3, 0))
			assert.NoError(t, r.CancelPicture(19, 1))
			assert.Equal(t, CodeNotFound, code(r.CancelPicture(19, 2)))
			assert.Equal(t, CodeNotFound, code(r.CancelPicture(20, 0)))
			close(proceed)
		}()
	})
	assert.Equal(t, 19, r.Result().Images)
	assert.Equal(t, 2, r.Result().Failed)
	assert.Equal(t, CodeNotFound, code(r.CancelPicture(0, 0)), "it has ended")
}

// TestStates holds the table of an order's states against each move.
func TestStates(t *testing.T) {
	all := []State{Queued, Running, Done, Failed, Cancelled}
	for from, to := range map[State][]State{Queued: {Running, Done, Failed, Cancelled}, Running: {Done, Failed, Cancelled}, Done: nil,
		Failed: nil, Cancelled: nil} {
		assert.Equal(t, to == nil, from.Ended(), from)
		for _, s := range all {
			state, allowed := from, false
			for _, x := range to {
				allowed = allowed || x == s
			}
			assert.Equal(t, allowed, state.to(s), "%s to %s", from, s)
			if allowed {
				assert.Equal(t, s, state)
			} else {
				assert.Equal(t, from, state)
			}
		}
	}
}
