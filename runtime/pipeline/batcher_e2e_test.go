//go:build !race && unix

package pipeline

import (
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/queue"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// hundred are 100 pictures of mixed sizes, schedulers and adapters, in requests of one to four.
func hundred(t *testing.T) (out []request.Request) {
	t.Helper()
	sizes := [][2]int{{32, 32}, {64, 32}, {32, 64}}
	schedulers := []string{"EulerDiscrete", "Euler a", "DPM++ 2M Karras", "DDIM"}
	adapters := []string{"", "outline", "stripes"}
	shapes := []string{"a red circle on a blue background", "a green square on a white background", "a yellow triangle on a black background"}
	dir, err := filepath.Abs("../../models/nano")
	require.NoError(t, err)
	for left := 100; left > 0; {
		i := len(out)
		r := request.Request{Prompt: shapes[i%3], Width: sizes[i%3][0], Height: sizes[i%3][1], Scheduler: schedulers[i/3%4], NumInferenceSteps: 2,
			Seed: int64(1000 * i), NumImages: min(1+i%4, left)}
		if a := adapters[i/5%3]; a != "" {
			r.LoRAs = []lora.Adapter{{Path: filepath.Join(dir, "nano-lora-"+a+".safetensors"), Weight: new(0.5 + 0.25*float64(i%2))}}
		}
		left -= r.NumImages
		out = append(out, r)
	}
	return out
}

// pixelPSNR compares two pictures; equal ones are 99.
func pixelPSNR(a, b *image.NRGBA) float64 {
	sum := 0.0
	for i := range a.Pix {
		d := float64(a.Pix[i]) - float64(b.Pix[i])
		sum += d * d
	}
	if sum == 0 {
		return 99
	}
	return 10 * math.Log10(255*255*float64(len(a.Pix))/sum)
}

// TestHundredPicturesWithoutMemory lets one in five allocations fail while 100 different pictures are made. All must be
// delivered, and each must be that of its single run.
func TestHundredPicturesWithoutMemory(t *testing.T) {
	b, err := native.New(native.Options{})
	require.NoError(t, err)
	p, err := Open(t.Context(), Config{Model: NanoModel, Precision: backend.PrecisionExact, Threads: 1}, WithBackend(b))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	all := hundred(t)
	single := make([]*Result, len(all))
	for i, r := range all {
		r.MaxBatch = 1
		single[i] = generate(t, p, r)
	}

	var failer backend.AllocationFailer = b
	seed := rand.Int64N(1 << 30)
	t.Logf("seed %d", seed)
	_, err = failer.FailAllocations(seed, 0.2, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = failer.FailAllocations(0, 0, 0) })
	began := time.Now()
	m := newTestBatcher(t, BatcherOptions{Retry: queue.Retry{Attempts: 30}, Paused: true}, p)
	var mu sync.Mutex
	got := make([]map[int]Image, len(all))
	jobs := make([]*BatchJob, len(all))
	for i, r := range all {
		plan, err := m.Plan(r)
		require.NoError(t, err)
		got[i] = map[int]Image{}
		jobs[i], err = m.Submit(t.Context(), plan, JobOptions{OnImage: func(img Image) error {
			mu.Lock()
			defer mu.Unlock()
			assert.NotContains(t, got[i], img.Index, "delivered twice")
			got[i][img.Index] = img
			return nil
		}})
		require.NoError(t, err)
	}
	m.Resume()
	for i, j := range jobs {
		require.NoError(t, j.Wait(t.Context()), "request %d", i)
	}
	allocations, err := failer.FailAllocations(0, 0, 0)
	require.NoError(t, err)
	worst, pictures := 99.0, 0
	for i := range all {
		require.Len(t, got[i], len(single[i].Images))
		for k, want := range single[i].Images {
			worst = min(worst, pixelPSNR(want.NRGBA, got[i][k].NRGBA))
			pictures++
		}
	}
	s := m.Snapshot()
	t.Logf("%d pictures of %d requests in %d batches and %v; %d allocations, %d times out of memory, %d retries; worst PSNR %.1f dB", pictures,
		len(all), s.Batches, time.Since(began).Round(time.Millisecond), allocations, s.OutOfMemory, s.Retried, worst)
	assert.Equal(t, 100, pictures)
	assert.Greater(t, s.OutOfMemory, int64(3), "the plan of this test is that memory runs out")
	assert.Less(t, s.Batches, int64(100+s.OutOfMemory), "true batches")
	assert.GreaterOrEqual(t, worst, 50.0)
}

// TestCancelOneOfANanoBatch cancels one picture of four in the middle: the others stay as they are, bit for bit.
func TestCancelOneOfANanoBatch(t *testing.T) {
	p := openNano(t, backend.PrecisionAuto)
	run := func(cancel bool) map[int]Image {
		m := newTestBatcher(t, BatcherOptions{Paused: true}, p)
		plan, err := m.Plan(request.Request{Prompt: "a red circle on a blue background", Width: 64, Height: 64, NumInferenceSteps: 4, Seed: 1,
			NumImages: 4})
		require.NoError(t, err)
		got := map[int]Image{}
		var j *BatchJob
		j, err = m.Submit(t.Context(), plan, JobOptions{OnImage: func(img Image) error { got[img.Index] = img; return nil },
			OnProgress: func(p Progress) {
				if cancel && p.Step == 2 {
					j.CancelTask(2)
				}
			}})
		require.NoError(t, err)
		m.Resume()
		if err := j.Wait(t.Context()); cancel {
			require.ErrorIs(t, err, queue.ErrCancelled)
		} else {
			require.NoError(t, err)
		}
		return got
	}
	whole, rest := run(false), run(true)
	assert.Len(t, whole, 4)
	assert.Len(t, rest, 3)
	for i, img := range rest {
		assert.Equal(t, whole[i].Pix, img.Pix, i)
		assert.Equal(t, whole[i].Latents.Data, img.Latents.Data, i)
	}
}

// TestProgressIsCheap measures what the Batcher's reports cost against a step of the nano model.
func TestProgressIsCheap(t *testing.T) {
	p := openNano(t, backend.PrecisionAuto)
	m := newTestBatcher(t, BatcherOptions{Paused: true}, p)
	plan, err := m.Plan(request.Request{Prompt: "x", Width: 128, Height: 128, NumInferenceSteps: 8, Seed: 1})
	require.NoError(t, err)
	step := time.Hour
	out, err := p.Generate(t.Context(), plan.Request(), WithProgress(func(p Progress) {
		if p.StepTime > 0 {
			step = min(step, p.StepTime)
		}
	}))
	require.NoError(t, err)
	require.NotEmpty(t, out.Images)

	calls := 0
	pictures := []Picture{{Plan: plan, track: newTrack(plan, JobOptions{OnProgress: func(Progress) { calls++ }}, 1)}}
	report := &batchReport{pictures: pictures}
	cost := time.Hour
	for range 20 {
		began := time.Now()
		const n = 1000
		for i := range n {
			report.tell(Progress{Stage: StageDenoise, Step: i % 9, Steps: 8, Seeds: []int64{1}})
		}
		cost = min(cost, time.Since(began)/n)
	}
	assert.Equal(t, 20*1000, calls)
	t.Logf("a report takes %v, a step of nano %v: %.4f %%", cost, step, 100*cost.Seconds()/step.Seconds())
	assert.Less(t, cost.Seconds(), step.Seconds()/100)
}

// cpuSeconds is the CPU time of this process, which other processes change less than they change the time that passes.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// BenchmarkBatch makes pictures one at a time and in batches, in turns. DAGUERRE_BENCH_MODEL chooses another model than nano,
// DAGUERRE_BENCH_SIZE the pictures' sides, DAGUERRE_BENCH_STEPS the steps, DAGUERRE_BENCH_HANDLES how many pipelines share the
// work, each computing batches of its own.
func BenchmarkBatch(b *testing.B) {
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
			return n
		}
		return otherwise
	}
	model, size, steps := os.Getenv("DAGUERRE_BENCH_MODEL"), number("DAGUERRE_BENCH_SIZE", 128), number("DAGUERRE_BENCH_STEPS", 4)
	if model == "" {
		model = NanoModel
	}
	pipes := make([]*Pipeline, number("DAGUERRE_BENCH_HANDLES", 1))
	for i := range pipes {
		p, err := Open(b.Context(), Config{Model: model, Type: backend.Type(os.Getenv("DAGUERRE_BENCH_TYPE")),
			Threads: number("DAGUERRE_BENCH_THREADS", 0)})
		require.NoError(b, err)
		defer func() { require.NoError(b, p.Close()) }()
		pipes[i] = p
	}
	for _, n := range []int{1, 2, 4, 8, 16} {
		if n > number("DAGUERRE_BENCH_MOST", 16) {
			break
		}
		b.Run(fmt.Sprint("batch-", n), func(b *testing.B) {
			m := NewBatcher(BatcherOptions{MaxBatch: n, Budget: func(*Pipeline, *Planned) queue.Budget { return queue.Budget{Max: n} }}, pipes...)
			defer m.Close()
			images := n * len(pipes)
			spent := cpuSeconds()
			for b.Loop() {
				plan, err := m.Plan(request.Request{Prompt: "a red circle on a blue background", Width: size, Height: size, NumInferenceSteps: steps,
					NumImages: images, MaxBatch: n})
				require.NoError(b, err)
				j, err := m.Submit(b.Context(), plan, JobOptions{})
				require.NoError(b, err)
				require.NoError(b, j.Wait(b.Context()))
			}
			b.ReportMetric(float64(images*b.N)/b.Elapsed().Seconds(), "images/s")
			b.ReportMetric(float64(images*b.N)/(cpuSeconds()-spent), "images/cpu-s")
		})
	}
}
