package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// checkSequence asserts that reports are complete and never go back.
func checkSequence(t *testing.T, reports []Progress, images, batches, steps int) {
	t.Helper()
	require.NotEmpty(t, reports)
	var last Progress
	var order []string
	seen := map[int]bool{}
	for i, p := range reports {
		assert.Equal(t, steps*batches, p.Total)
		assert.Equal(t, batches, p.Batches)
		assert.Equal(t, images, p.Images)
		assert.GreaterOrEqual(t, p.Done, last.Done)
		assert.GreaterOrEqual(t, p.Finished, last.Finished)
		assert.GreaterOrEqual(t, p.Elapsed, last.Elapsed)
		assert.GreaterOrEqual(t, p.ETA, time.Duration(0))
		if p.Stage == StageDenoise {
			assert.Equal(t, p.Batch*steps+p.Step, p.Done)
			assert.Len(t, p.Seeds, p.Count)
			seen[p.Done] = true
			if p.Step > 0 {
				assert.Positive(t, p.StepTime)
				assert.Positive(t, p.StepsPerSec)
				assert.Positive(t, p.EvalsPerSec)
			}
		}
		if i == 0 || p.Stage != last.Stage {
			order = append(order, string(p.Stage))
		}
		last = p
	}
	want := []string{"text"}
	for range batches {
		want = append(want, "denoise", "decode")
	}
	assert.Equal(t, append(want, "done"), order)
	for i := range steps*batches + 1 {
		assert.True(t, seen[i], "step %d of %d was reported", i, steps*batches)
	}
	assert.Equal(t, images, last.Finished)
	assert.Zero(t, last.ETA)
}

func TestProgress(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	for _, c := range []struct{ images, most, batches int }{{1, 0, 1}, {5, 2, 3}, {4, 4, 1}} {
		r := small("x")
		r.NumImages, r.MaxBatch = c.images, c.most
		var reports []Progress
		second := 0
		generate(t, p, r, WithProgress(func(p Progress) { reports = append(reports, p) }), WithProgress(func(Progress) { second++ }))
		checkSequence(t, reports, c.images, c.batches, 4)
		assert.Len(t, reports, second)
	}
}

// TestETAComesDown has steps of the same time each by the clock of synctest.
func TestETAComesDown(t *testing.T) { synctest.Test(t, testETAComesDown) }

func testETAComesDown(t *testing.T) {
	b := &fake.Backend{Hook: func(ctx context.Context, c fake.Call) error {
		if c.Op == fake.OpUNet {
			time.Sleep(4 * time.Millisecond)
		}
		return nil
	}}
	p := openFake(t, b)
	r := small("x")
	r.NumInferenceSteps = 20
	var first, last Progress
	generate(t, p, r, WithProgress(func(p Progress) {
		if p.Stage == StageDenoise && p.Step == 2 {
			first = p
		}
		if p.Stage == StageDenoise && p.Step == 19 {
			last = p
		}
	}))
	assert.InEpsilon(t, 18*4*time.Millisecond, first.ETA, 0.01)
	assert.InEpsilon(t, 4*time.Millisecond, last.ETA, 0.01)
	assert.InDelta(t, 2*last.StepsPerSec, last.EvalsPerSec, 0.01, "guidance counts two evaluations")
}

func TestPreviews(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	for mode, width := range map[PreviewMode]int{PreviewAuto: 8, PreviewRGB: 8, PreviewVAE: 64} {
		r := small("x")
		r.NumImages, r.NumInferenceSteps = 2, 7
		plain := generate(t, p, r)
		var at []int
		out := generate(t, p, r, WithPreview(2, mode), WithProgress(func(p Progress) {
			if p.Previews != nil {
				at = append(at, p.Step)
				require.Len(t, p.Previews, 2)
				assert.Equal(t, width, p.Previews[0].Bounds().Dx())
			}
		}))
		assert.Equal(t, []int{2, 4, 6}, at)
		assert.Equal(t, plain.Images[1].Pix, out.Images[1].Pix, "previews change nothing")
	}
}

func TestImagesAreDeliveredAsTheyFinish(t *testing.T) {
	b := &fake.Backend{}
	p := openFake(t, b)
	r := small("x")
	r.NumImages, r.MaxBatch = 4, 2
	var got []int
	generate(t, p, r, WithImages(func(img Image) error {
		got = append(got, img.Index)
		assert.Equal(t, int64(7+img.Index), img.Seed)
		assert.LessOrEqual(t, b.Count(fake.OpUNet), 4*(img.Index/2+1), "before the next batch begins")
		return nil
	}))
	assert.Equal(t, []int{0, 1, 2, 3}, got)

	full := errors.New("the disk is full")
	out, err := p.Generate(t.Context(), r, WithImages(func(img Image) error {
		if img.Index == 2 {
			return full
		}
		return nil
	}))
	require.ErrorIs(t, err, full)
	assert.Len(t, out.Images, 3)
}

// TestConcurrentGenerates runs several requests on one pipeline and asserts that none sees another's progress
// or pictures.
func TestConcurrentGenerates(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	want := map[int]*Result{}
	for i := range 4 {
		r := small(fmt.Sprint("prompt ", i))
		r.NumInferenceSteps, r.NumImages, r.MaxBatch = 3+i, 3, 2
		want[i] = generate(t, p, r)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			r := want[i%4].Request
			var reports []Progress
			out, err := p.Generate(context.Background(), r, WithProgress(func(p Progress) { reports = append(reports, p) }))
			if !assert.NoError(t, err) {
				return
			}
			checkSequence(t, reports, 3, 2, r.NumInferenceSteps)
			for k, img := range out.Images {
				assert.Equal(t, want[i%4].Images[k].Pix, img.Pix)
			}
		})
	}
	wg.Wait()
}

func TestCloseWaitsAndRefuses(t *testing.T) {
	b := &fake.Backend{Hook: func(ctx context.Context, c fake.Call) error {
		if c.Op == fake.OpUNet {
			time.Sleep(time.Millisecond)
		}
		return nil
	}}
	p, err := Open(t.Context(), Config{}, WithBackend(b))
	require.NoError(t, err)
	started, done := make(chan struct{}), make(chan error)
	go func() {
		once := sync.OnceFunc(func() { close(started) })
		_, err := p.Generate(context.Background(), small("x"), WithProgress(func(Progress) { once() }))
		done <- err
	}()
	<-started
	require.NoError(t, p.Close())
	require.NoError(t, p.Close(), "again")
	require.NoError(t, <-done, "what was running has finished")
	_, err = p.Generate(t.Context(), small("x"))
	require.ErrorIs(t, err, ErrClosed)
	assert.Zero(t, b.LiveModels())
	_, err = p.Generate(t.Context(), request.Request{Width: 7})
	require.ErrorIs(t, err, ErrClosed)
}
