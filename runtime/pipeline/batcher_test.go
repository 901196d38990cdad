package pipeline

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/queue"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// mixed are requests some of which can share batches, and some not.
func mixed() []request.Request {
	var out []request.Request
	add := func(change func(*request.Request)) {
		r := small(fmt.Sprintf("picture %d", len(out)))
		r.Seed, r.NumImages = int64(100*len(out)), 1+len(out)%3
		change(&r)
		out = append(out, r)
	}
	picture := request.Picture{Image: gradient(64, 48)}
	for range 2 {
		add(func(*request.Request) {})
		add(func(r *request.Request) { r.GuidanceScale, r.GuidanceRescale = 3, 0.5 })
		add(func(r *request.Request) { r.NegativePrompt, r.ClipSkip = "green", 1 })
		add(func(r *request.Request) { r.OriginalSize = request.Size{Height: 512, Width: 512} })
		add(func(r *request.Request) { r.Width, r.Height = 48, 64 })
		add(func(r *request.Request) { r.Scheduler = "Euler a" })
		add(func(r *request.Request) { r.Scheduler = "DPM++ 2M Karras" })
		add(func(r *request.Request) { r.GuidanceScale = 1 })
		add(func(r *request.Request) { r.InitImage, r.Strength = picture, 0.6 })
		add(func(r *request.Request) {
			r.InitImage, r.MaskImage = picture, request.Picture{Image: rightHalf(64, 48)}
		})
		add(func(r *request.Request) {
			for range 50 {
				r.Prompt += " and many words more"
			}
		})
	}
	return out
}

// newTestBatcher makes a Batcher that is closed with the test.
func newTestBatcher(t *testing.T, o BatcherOptions, pipes ...*Pipeline) *Batcher {
	t.Helper()
	b := NewBatcher(o, pipes...)
	t.Cleanup(b.Close)
	return b
}

// TestPicturesDoNotDependOnTheirBatch computes requests alone and then all together, and compares bit for bit.
func TestPicturesDoNotDependOnTheirBatch(t *testing.T) {
	f := &fake.Backend{}
	p := openFake(t, f)
	b := newTestBatcher(t, BatcherOptions{Paused: true}, p)
	type made struct {
		mu   sync.Mutex
		imgs map[int]Image
	}
	var jobs []*BatchJob
	all := mixed()
	got := make([]made, len(all))
	for i, r := range all {
		plan, err := b.Plan(r)
		require.NoError(t, err)
		got[i].imgs = map[int]Image{}
		var last Progress
		j, err := b.Submit(t.Context(), plan, JobOptions{OnImage: func(img Image) error {
			got[i].mu.Lock()
			defer got[i].mu.Unlock()
			got[i].imgs[img.Index] = img
			return nil
		}, OnProgress: func(p Progress) {
			assert.GreaterOrEqual(t, p.Done, last.Done)
			assert.LessOrEqual(t, p.Done, p.Total)
			if p.Stage == StageDone {
				assert.Equal(t, p.Total, p.Done)
				assert.Equal(t, r.NumImages, p.Finished)
			}
			last = p
		}})
		require.NoError(t, err)
		jobs = append(jobs, j)
	}
	b.Resume()
	for i, j := range jobs {
		require.NoError(t, j.Wait(t.Context()), i)
	}
	s := b.Snapshot()
	assert.Less(t, s.Batches, s.Finished*2/3, "pictures of different requests went together")
	shared := 0
	for _, c := range f.Calls() {
		if c.Op == fake.OpUNet && c.Batch > 6 {
			shared++
		}
	}
	assert.Positive(t, shared, "larger batches than any request alone has")
	for i, r := range all {
		single := generate(t, p, r)
		require.Len(t, got[i].imgs, len(single.Images))
		for k, want := range single.Images {
			have := got[i].imgs[k]
			assert.Equal(t, want.Seed, have.Seed)
			assert.Equal(t, want.Latents.Data, have.Latents.Data, "request %d, picture %d", i, k)
			assert.Equal(t, want.Pix, have.Pix)
		}
	}
}

func TestPlanKeys(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	key := func(change func(*request.Request)) string {
		r := small("x")
		change(&r)
		plan, err := p.Plan(r)
		require.NoError(t, err)
		return plan.Key()
	}
	same := key(func(*request.Request) {})
	for name, change := range map[string]func(*request.Request){
		"prompt":   func(r *request.Request) { r.Prompt = "y" },
		"seed":     func(r *request.Request) { r.Seed = 9 },
		"negative": func(r *request.Request) { r.NegativePrompt = "z" },
		"guidance": func(r *request.Request) { r.GuidanceScale = 9 },
		"count":    func(r *request.Request) { r.NumImages = 9 },
		"alias":    func(r *request.Request) { r.Scheduler = "Euler" },
		"output":   func(r *request.Request) { r.Output = "x.png" },
	} {
		assert.Equal(t, same, key(change), name)
	}
	for name, change := range map[string]func(*request.Request){
		"width":     func(r *request.Request) { r.Width = 128 },
		"steps":     func(r *request.Request) { r.NumInferenceSteps = 5 },
		"scheduler": func(r *request.Request) { r.Scheduler = "Heun" },
		"options":   func(r *request.Request) { r.SchedulerOptions = map[string]any{"use_karras_sigmas": true} },
		"unguided":  func(r *request.Request) { r.GuidanceScale = 1 },
		"picture":   func(r *request.Request) { r.InitImage = request.Picture{Image: gradient(64, 48)} },
		"tokens": func(r *request.Request) {
			for range 100 {
				r.Prompt += " word"
			}
		},
	} {
		assert.NotEqual(t, same, key(change), name)
	}
	_, err := p.Plan(request.Request{Width: 7})
	require.ErrorIs(t, err, request.ErrInvalid)
}

// TestBatcherUnderTrouble lets memory run out at random and asks for every picture all the same.
func TestBatcherUnderTrouble(t *testing.T) {
	before := runtime.NumGoroutine()
	n, planted, mu := 0, 0, sync.Mutex{}
	f := &fake.Backend{Hook: func(_ context.Context, c fake.Call) error {
		mu.Lock()
		defer mu.Unlock()
		if n++; n%23 == 0 && c.Op != fake.OpOpen && c.Op != fake.OpReleaseCompute {
			planted++
			return fmt.Errorf("planted: %w", backend.ErrOutOfMemory)
		}
		return nil
	}}
	p := openFake(t, f)
	b := NewBatcher(BatcherOptions{}, p)
	var jobs []*BatchJob
	want := 0
	for _, r := range mixed() {
		plan, err := b.Plan(r)
		require.NoError(t, err)
		j, err := b.Submit(t.Context(), plan, JobOptions{})
		require.NoError(t, err)
		jobs = append(jobs, j)
		want += r.NumImages
	}
	for i, j := range jobs {
		require.NoError(t, j.Wait(t.Context()), i)
	}
	s := b.Snapshot()
	assert.Equal(t, int64(want), s.Finished)
	// How many calls there are depends on which requests met in a batch.
	t.Logf("memory ran out %d times in %d calls, %d times for a batch", planted, n, s.OutOfMemory)
	assert.Positive(t, planted)
	b.Close()
	for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > before && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	assert.LessOrEqual(t, runtime.NumGoroutine(), before)
}

func TestCancelOneOfABatch(t *testing.T) {
	for lanes, decodes := range map[int]int{1: 3, 2: 2} {
		t.Run(fmt.Sprint("lanes-", lanes), func(t *testing.T) { cancelOneOfABatch(t, lanes, decodes) })
	}
}

// cancelOneOfABatch makes four pictures of which the second is cancelled; the others are decoded in so many calls.
func cancelOneOfABatch(t *testing.T, lanes, decodes int) {
	f := &fake.Backend{VAELanes: lanes}
	p := openFake(t, f)
	b := newTestBatcher(t, BatcherOptions{Paused: true}, p)
	r := small("a red circle")
	r.NumImages = 4
	plan, err := b.Plan(r)
	require.NoError(t, err)
	got, bad := map[int]Image{}, map[int]error{}
	var j *BatchJob
	j, err = b.Submit(t.Context(), plan, JobOptions{OnImage: func(img Image) error { got[img.Index] = img; return nil },
		OnError: func(i int, err error) { bad[i] = err },
		OnProgress: func(p Progress) {
			if p.Step == 2 {
				j.CancelTask(1)
			}
		}})
	require.NoError(t, err)
	b.Resume()
	require.ErrorIs(t, j.Wait(t.Context()), queue.ErrCancelled)
	require.ErrorIs(t, bad[1], queue.ErrCancelled)
	assert.Equal(t, decodes, f.Count(fake.OpDecodeLatents), "what nobody wants is not decoded")
	single := generate(t, p, r)
	for _, i := range []int{0, 2, 3} {
		assert.Equal(t, single.Images[i].Pix, got[i].Pix, i)
	}
}

// TestFirstBatchIsAsAsked: a request's max_batch is what its first batch has, where nothing speaks against it.
func TestFirstBatchIsAsAsked(t *testing.T) {
	for asked, sizes := range map[int][]int{0: {3, 3}, 6: {6}, 5: {3, 3}, 2: {2, 2, 2}} {
		var got []int
		b := newTestBatcher(t, BatcherOptions{OnEvent: func(e queue.Event) {
			if e.Kind == queue.BatchStarted {
				got = append(got, e.Size)
			}
		}}, openFake(t, &fake.Backend{}))
		r := small("x")
		r.NumImages, r.MaxBatch = 6, asked
		plan, err := b.Plan(r)
		require.NoError(t, err)
		j, err := b.Submit(t.Context(), plan, JobOptions{})
		require.NoError(t, err)
		require.NoError(t, j.Wait(t.Context()))
		b.Close()
		assert.Equal(t, sizes, got, asked)
	}
}

// TestDecodeOneByOneWhereTwoDoNotFit lets the VAE run out of memory when it has two pictures.
func TestDecodeOneByOneWhereTwoDoNotFit(t *testing.T) {
	f := &fake.Backend{VAELanes: 2, Hook: func(_ context.Context, c fake.Call) error {
		if c.Op == fake.OpDecodeLatents && c.Batch > 1 {
			return backend.ErrOutOfMemory
		}
		return nil
	}}
	p := openFake(t, f)
	r := small("x")
	r.NumImages = 3
	out := generate(t, p, r)
	require.Len(t, out.Images, 3)
	assert.Equal(t, 4, f.Count(fake.OpDecodeLatents), "two together, each of them, and the last")
	assert.Empty(t, out.Warnings, "nothing needed relief")
	want := generate(t, openFake(t, &fake.Backend{}), r)
	for i := range want.Images {
		assert.Equal(t, want.Images[i].Pix, out.Images[i].Pix, i)
	}
}

func TestBatcherReportsFailures(t *testing.T) {
	broken := errors.New("broken")
	f := &fake.Backend{Hook: func(_ context.Context, c fake.Call) error {
		if c.Op == fake.OpDecodeLatents && c.Nth == 1 {
			return broken
		}
		return nil
	}}
	b := newTestBatcher(t, BatcherOptions{Retry: queue.Retry{}}, openFake(t, f))
	r := small("x")
	r.NumImages = 3
	plan, err := b.Plan(r)
	require.NoError(t, err)
	j, err := b.Submit(t.Context(), plan, JobOptions{Indices: []int{0, 2}})
	require.NoError(t, err)
	require.NoError(t, j.Wait(t.Context()), "once more by itself, where it goes well")
	assert.Equal(t, queue.Status{Total: 2, Finished: 2}, j.Status())
}
