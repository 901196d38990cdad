//go:build !race

package pipeline

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// fewerRun is one fewer_*.json.
type fewerRun struct {
	goldenRun
	GuidanceStart float64  `json:"guidance_start"`
	GuidanceStop  *float64 `json:"guidance_stop"`
	DeepCache     int      `json:"deepcache"`
	Branch        int      `json:"deepcache_branch"`
	TGate         int      `json:"tgate"`
}

func readFewer(t *testing.T, path string) request.Request {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var g fewerRun
	require.NoError(t, json.Unmarshal(data, &g))
	return request.Request{Prompt: g.Prompt, Seed: g.Seed, Width: g.Width, Height: g.Height, NumInferenceSteps: g.NumInferenceSteps,
		GuidanceScale: g.GuidanceScale, GuidanceRescale: g.GuidanceRescale, Scheduler: "EulerDiscrete", GuidanceStart: g.GuidanceStart,
		GuidanceStop: g.GuidanceStop, Reuse: request.Reuse{DeepCache: g.DeepCache, Branch: g.Branch, TGate: g.TGate}}
}

// TestFewerGoldens compares runs with a guidance interval, DeepCache and T-GATE with what diffusers and the authors' packages made: latents
// within 1e-3 relative L2. The plain run is far from them.
func TestFewerGoldens(t *testing.T) {
	t.Parallel()
	p := openNano(t, backend.PrecisionExact)
	runs, err := filepath.Glob(filepath.Join(goldens, "fewer_*.json"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(runs), 7)
	for _, path := range runs {
		name := filepath.Base(path[:len(path)-len(".json")])
		r := readFewer(t, path)
		want := golden(t, name+"_latents").Data
		plain := r
		plain.Reuse, plain.GuidanceStart, plain.GuidanceStop = request.Reuse{}, 0, nil
		distance := relativeL2(t, generate(t, p, plain).Images[0].Latents.Data, want)
		assert.Greater(t, distance, 5e-3, "%s leaves something out", name)
		for _, halves := range []string{request.GuidanceJoint, request.GuidanceSeparate} {
			r.GuidanceBatch = halves
			out := generate(t, p, r)
			l2 := relativeL2(t, out.Images[0].Latents.Data, want)
			t.Logf("%-24s %-9s %.2g relative L2, plain %.2g, %d rows", name, halves, l2, distance, out.Timings.Evaluations)
			assert.Less(t, l2, 1e-3, name)
		}
	}
}

// fewerWays are requests that leave something out, one of each way.
func fewerWays() map[string]func(r *request.Request) {
	return map[string]func(r *request.Request){
		"interval":  func(r *request.Request) { r.GuidanceStart, r.GuidanceStop = 0.2, new(0.6) },
		"deepcache": func(r *request.Request) { r.Reuse.DeepCache, r.Reuse.Branch = 3, 1 },
		"tgate":     func(r *request.Request) { r.Reuse.TGate = 5 },
		"easycache": func(r *request.Request) { r.Reuse.EasyCache = 0.3 },
		"ucache":    func(r *request.Request) { r.Reuse.UCache = 1.5 },
		"spectrum":  func(r *request.Request) { r.Reuse.Spectrum = 3 },
	}
}

// TestFewerNothingLeftOut: where the settings leave nothing out, all bits are the plain run's.
func TestFewerNothingLeftOut(t *testing.T) {
	p := openNano(t, backend.PrecisionAuto)
	_, r := readRun(t, "red")
	r.NumInferenceSteps = 8
	want := generate(t, p, r)
	for name, edit := range map[string]func(r *request.Request){
		"the interval is all":    func(r *request.Request) { r.GuidanceStop = new(1.0) },
		"deepcache 1":            func(r *request.Request) { r.Reuse.DeepCache = 1 },
		"easycache 0":            func(r *request.Request) { r.Reuse.EasyCache = 0 },
		"easycache, tiny":        func(r *request.Request) { r.Reuse.EasyCache = 1e-12 },
		"ucache, tiny":           func(r *request.Request) { r.Reuse.UCache = 1e-12 },
		"spectrum 1":             func(r *request.Request) { r.Reuse.Spectrum = 1 },
		"spectrum, few steps":    func(r *request.Request) { r.NumInferenceSteps, r.Reuse.Spectrum = 4, 2 },
		"the gate is at the end": func(r *request.Request) { r.Reuse.TGate = 9 },
		"deepcache, all whole":   func(r *request.Request) { r.NumInferenceSteps, r.Reuse.DeepCache = 1, 4 },
	} {
		edited, plain := r, want
		edit(&edited)
		if edited.NumInferenceSteps != r.NumInferenceSteps {
			short := r
			short.NumInferenceSteps = edited.NumInferenceSteps
			plain = generate(t, p, short)
		}
		out := generate(t, p, edited)
		assert.Equal(t, plain.Images[0].Latents.Data, out.Images[0].Latents.Data, name)
		assert.Equal(t, plain.Images[0].Pix, out.Images[0].Pix, name)
		assert.Equal(t, plain.Timings.Evaluations, out.Timings.Evaluations, name)
	}
}

// TestFewerBatches: a picture does not depend on its batch, also where each picture leaves out steps of its own.
func TestFewerBatches(t *testing.T) {
	t.Parallel()
	p := openNano(t, backend.PrecisionExact)
	_, r := readRun(t, "red")
	r.NumInferenceSteps, r.NumImages = 10, 3
	plain := generate(t, p, r)
	for name, edit := range fewerWays() {
		fewer := r
		edit(&fewer)
		fewer.MaxBatch = 1
		single := generate(t, p, fewer)
		rows := 0
		for most, halves := range map[int]string{3: request.GuidanceJoint, 2: request.GuidanceSeparate} {
			fewer.MaxBatch, fewer.GuidanceBatch = most, halves
			out := generate(t, p, fewer)
			for i, img := range out.Images {
				l2 := relativeL2(t, img.Latents.Data, single.Images[i].Latents.Data)
				assert.Less(t, l2, 1e-4, "%s: picture %d of batches of %d, %s", name, i, most, halves)
			}
			assert.Equal(t, single.Timings.Evaluations, out.Timings.Evaluations, "%s in batches of %d", name, most)
			rows = out.Timings.Evaluations
		}
		if name == "deepcache" {
			assert.Equal(t, plain.Timings.Evaluations, rows)
		} else {
			assert.Less(t, rows, plain.Timings.Evaluations, name)
		}
		assert.NotEqual(t, plain.Images[0].Latents.Data, single.Images[0].Latents.Data, "%s leaves something out", name)
	}
}

// TestFewerMemory: a strategy changes no bit, and no feature stays behind.
func TestFewerMemory(t *testing.T) {
	t.Parallel()
	_, r := readRun(t, "red")
	r.NumInferenceSteps = 6
	for name, edit := range fewerWays() {
		fewer := r
		edit(&fewer)
		var want []float32
		for _, strategy := range []string{"resident", "stage", "stream", "mmap"} {
			p, err := Open(t.Context(), Config{Model: NanoModel, Precision: backend.PrecisionF16, Threads: 1,
				Memory: request.Memory{Strategy: strategy}})
			require.NoError(t, err)
			got := generate(t, p, fewer).Images[0].Latents.Data
			if want == nil {
				want = got
			}
			assert.Equal(t, want, got, "%s, %s", name, strategy)
			require.NoError(t, p.Close())
		}
	}
}
