package pipeline

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestLoRAHandleOfABatcher changes a job's adapter before it runs, while a batch runs, and where a batch is made again: what is computed
// later has the weight of then, and other jobs keep theirs.
func TestLoRAHandleOfABatcher(t *testing.T) {
	p, f, _ := loraBench(t)
	at := func(weight float64) request.Request {
		r := withLoRA(small("a circle"), lora.Adapter{Name: "both", Weight: new(weight)})
		r.MaxBatch = 1
		return r
	}
	want := map[float64][]float32{}
	for _, weight := range []float64{0.25, 0.5, 0.75, 1} {
		want[weight] = latentsOf(t, p, at(weight))
	}
	plain := latentsOf(t, p, small("a circle"))
	b := newTestBatcher(t, BatcherOptions{Paused: true}, p)
	var mu sync.Mutex
	got := map[string][]float32{}
	submit := func(name string, r request.Request, o JobOptions) *BatchJob {
		plan, err := b.Plan(r)
		require.NoError(t, err)
		o.OnImage = func(img Image) error {
			mu.Lock()
			defer mu.Unlock()
			got[fmt.Sprint(name, img.Index)] = img.Latents.Data
			return nil
		}
		j, err := b.Submit(t.Context(), plan, o)
		require.NoError(t, err)
		return j
	}
	var h, other, none LoRAHandle
	several := at(0.25)
	several.NumImages, several.Seed = 2, 4
	fails := false
	f.Hook = func(_ context.Context, c fake.Call) error {
		if c.Op == fake.OpUNet && fails {
			fails = false
			return fmt.Errorf("planted: %w", backend.ErrOutOfMemory)
		}
		return nil
	}
	jobs := []*BatchJob{
		submit("a", several, JobOptions{LoRAs: &h, OnProgress: func(at Progress) {
			if at.Stage == StageDenoise && at.Step == 2 && at.Indices[0] == 1 && *h.Stack().Adapters[0].Weight == 0.5 {
				assert.NoError(t, h.SetWeight("both", 1))
				fails = true // and the picture is made again
			}
		}}),
		submit("b", at(0.25), JobOptions{LoRAs: &other}),
		submit("c", at(0.75), JobOptions{}),
		submit("plain", small("a circle"), JobOptions{LoRAs: &none}),
		submit("busy", small("a circle"), JobOptions{LoRAs: &other}), // has no use for the handle, which serves b
	}
	require.NoError(t, h.SetWeight("both", 0.5), "before anything runs")
	require.ErrorIs(t, h.SetWeight("unet", 1), lora.ErrNotFound)
	require.ErrorIs(t, h.SetWeight("both", 1e6), lora.ErrConfig)
	assert.Equal(t, 0.5, *h.Stack().Adapters[0].Weight)
	assert.Equal(t, 0.25, *other.Stack().Adapters[0].Weight)
	require.ErrorIs(t, none.SetWeight("both", 1), ErrNotRunning, "it has no adapters")
	plan, err := b.Plan(at(1))
	require.NoError(t, err)
	_, err = b.Submit(t.Context(), plan, JobOptions{LoRAs: &h})
	require.ErrorIs(t, err, errHandleInUse)
	_, err = p.Generate(t.Context(), at(1), WithLoRAs(&h))
	require.ErrorIs(t, err, errHandleInUse)
	b.Resume()
	for i, j := range jobs {
		require.NoError(t, j.Wait(t.Context()), i)
	}
	first, second := at(0.5), at(1)
	first.Seed, second.Seed = 4, 5
	assert.Equal(t, latentsOf(t, p, first), got["a0"])
	assert.Equal(t, latentsOf(t, p, second), got["a1"])
	assert.Equal(t, want[0.25], got["b0"])
	assert.Equal(t, want[0.75], got["c0"])
	assert.Equal(t, plain, got["plain0"])
	assert.NotEqual(t, want[0.25], want[1])

	require.ErrorIs(t, h.SetWeight("both", 1), ErrNotRunning)
	assert.Empty(t, h.Stack().Adapters)
	require.NoError(t, submit("again", at(0.25), JobOptions{LoRAs: &h}).Wait(t.Context()))
	assert.Equal(t, want[0.25], got["again0"], "the next job begins with its own weights")
	assert.Equal(t, want[0.25], latentsOf(t, p, at(0.25), WithLoRAs(&h)))

	changed, err := b.Plan(at(0.25))
	require.NoError(t, err)
	require.NoError(t, h.Hold(changed))
	require.NoError(t, h.Hold(plan))
	require.NoError(t, h.Hold(changed), "what was not submitted gives way")
	_, err = b.Submit(t.Context(), plan, JobOptions{LoRAs: &h})
	require.ErrorIs(t, err, errHandleInUse, "it is held for another plan")
	require.NoError(t, h.SetWeight("both", 1))
	var early []float32
	j, err := b.Submit(t.Context(), changed, JobOptions{LoRAs: &h, OnImage: func(img Image) error { early = img.Latents.Data; return nil }})
	require.NoError(t, err)
	require.NoError(t, j.Wait(t.Context()))
	assert.Equal(t, want[1], early, "changed before it was submitted")
	without, err := b.Plan(small("a circle"))
	require.NoError(t, err)
	require.NoError(t, h.Hold(without))
	require.ErrorIs(t, h.SetWeight("both", 1), ErrNotRunning)
	b.Close()
	_, err = b.TrySubmit(plan, JobOptions{LoRAs: &h})
	require.Error(t, err)
	require.ErrorIs(t, h.SetWeight("both", 1), ErrNotRunning)
}

// TestLoRAHandleAfterItsJob: a job that has ended, or was cancelled before its batch began, leaves the handle to the next one at once, also
// where its batch gives the adapters back later.
func TestLoRAHandleAfterItsJob(t *testing.T) {
	for name, endsFirst := range map[string]bool{"ends while its batch runs": false, "ends before its batch begins": true} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			held := &heldLoRAs{submitted: true, ended: ended}
			h := &LoRAHandle{held: held}
			if endsFirst {
				close(ended)
			}
			old, next := &adapters.Active{}, &adapters.Active{}
			require.NoError(t, h.attach(old, held))
			if !endsFirst {
				require.ErrorIs(t, h.attach(next, nil), errHandleInUse)
				close(ended)
			}
			require.ErrorIs(t, h.SetWeight("any", 1), ErrNotRunning)
			require.NoError(t, h.attach(next, nil))
			h.detach(old)
			assert.Equal(t, []*adapters.Active{next}, h.active, "the late batch takes nothing from the next job")
		})
	}
}

// TestLoRAHandleOnTwoPipelines: a job whose pictures are computed on two pipelines at once is changed on both.
func TestLoRAHandleOnTwoPipelines(t *testing.T) {
	p, f, dir := loraBench(t)
	g := &fake.Backend{}
	second, err := Open(t.Context(), Config{LoRADirectories: []string{dir}}, WithBackend(g))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, second.Close()) })
	r := withLoRA(small("a circle"), lora.Adapter{Name: "both", Weight: new(0.25)})
	r.Seed, r.NumImages = 7, 6
	full := r
	full.LoRAs = []lora.Adapter{{Name: "both", Weight: new(1.0)}}
	var want [6][]float32
	for i, img := range generate(t, p, full).Images {
		want[i] = img.Latents.Data
	}

	// Each pipeline waits in its first step for the other, so that both have a batch of the job.
	var begun sync.WaitGroup
	begun.Add(2)
	wait := func() func(context.Context, fake.Call) error {
		var once sync.Once
		return func(_ context.Context, c fake.Call) error {
			if c.Op == fake.OpUNet {
				once.Do(func() { begun.Done(); begun.Wait() })
			}
			return nil
		}
	}
	f.Hook, g.Hook = wait(), wait()
	b := newTestBatcher(t, BatcherOptions{MaxBatch: 3, Paused: true}, p, second)
	plan, err := b.Plan(r)
	require.NoError(t, err)
	var h LoRAHandle
	var got [6][]float32 // each by one goroutine
	j, err := b.Submit(t.Context(), plan, JobOptions{LoRAs: &h, OnImage: func(img Image) error {
		got[img.Index] = img.Latents.Data
		return nil
	}})
	require.NoError(t, err)
	require.NoError(t, h.SetWeight("both", 1))
	b.Resume()
	require.NoError(t, j.Wait(t.Context()))
	assert.Equal(t, want, got)
}

// TestLoRAHandleEncodesOnce: a later batch has its texts encoded with the changed weight at once, not first with the request's own.
func TestLoRAHandleEncodesOnce(t *testing.T) {
	p, f, _ := loraBench(t)
	b := newTestBatcher(t, BatcherOptions{Paused: true}, p)
	plan, err := b.Plan(withLoRA(small("a circle"), lora.Adapter{Name: "text", Weight: new(0.25)}))
	require.NoError(t, err)
	var h LoRAHandle
	j, err := b.Submit(t.Context(), plan, JobOptions{LoRAs: &h})
	require.NoError(t, err)
	require.NoError(t, h.SetWeight("text", 1))
	calls := len(f.Calls())
	b.Resume()
	require.NoError(t, j.Wait(t.Context()))
	weights := map[string]bool{}
	for _, c := range f.Calls()[calls:] {
		if c.Op == fake.OpEncodeText && len(c.LoRAs) > 0 {
			weights[fmt.Sprint(c.LoRAs)] = true
		}
	}
	assert.Equal(t, map[string]bool{"[1]": true}, weights)
}
