//go:build !race

// End-to-end tests on the real library and the embedded nano model. They need libdaguerre (make) and fail
// without it. The race detector needs cgo, which purego's callbacks are not made for, hence the build tag.

package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/checker"
	"github.com/daguerre-go/daguerre/internal/npy"
	"github.com/daguerre-go/daguerre/internal/pictures"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

var goldens = filepath.Join("..", "..", "testdata", "goldens")

func golden(t *testing.T, name string) npy.Array {
	t.Helper()
	a, err := npy.ReadFile(filepath.Join(goldens, name+".npy"))
	require.NoError(t, err)
	return a
}

func openNano(t *testing.T, precision backend.Precision) *Pipeline {
	t.Helper()
	return openOn(t, Config{Precision: precision})
}

// openOn opens a model, nano by default, with one thread: the graphs are small, and on a busy machine threads wait for each other longer
// than they compute.
func openOn(t *testing.T, cfg Config) *Pipeline {
	t.Helper()
	cfg.Threads = 1
	cfg.Model = cmp.Or(cfg.Model, NanoModel)
	p, err := Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// latentsLimit is how far latents may be from a golden: cpu, or 1e-3 where DAGUERRE_DEVICE names a device, whose products round otherwise.
func latentsLimit(cpu float64) float64 {
	if os.Getenv(backend.DeviceEnv) != "" {
		return 1e-3
	}
	return cpu
}

// relativeL2 is |a-b| / |b| over whole vectors.
func relativeL2(t *testing.T, a, b []float32) float64 {
	t.Helper()
	require.Len(t, a, len(b))
	var difference, norm float64
	for i := range b {
		d := float64(a[i]) - float64(b[i])
		difference += d * d
		norm += float64(b[i]) * float64(b[i])
	}
	return math.Sqrt(difference / norm)
}

// bothHalves compares the latents of a golden run with both halves of guidance in one evaluation, and one after the other. It returns
// both results.
func bothHalves(t *testing.T, p *Pipeline, name string, r request.Request) (out []*Result) {
	t.Helper()
	for _, halves := range []string{request.GuidanceJoint, request.GuidanceSeparate} {
		r.GuidanceBatch = halves
		made := generate(t, p, r)
		l2 := relativeL2(t, made.Images[0].Latents.Data, golden(t, "run_"+name+"_latents").Data)
		t.Logf("%-15s %-8s latents %.2g relative L2", name, halves, l2)
		assert.Less(t, l2, 1e-3, name)
		out = append(out, made)
	}
	return out
}

// eachPrecision calls f with nano opened in F16, BF16 and Q8_0, and with the name of that.
func eachPrecision(t *testing.T, f func(name string, p *Pipeline)) {
	t.Helper()
	for name, cfg := range map[string]Config{"f16": {Precision: backend.PrecisionF16}, "bf16": {Precision: backend.PrecisionBF16},
		"q8_0": {Precision: backend.PrecisionF16, Type: backend.TypeQ8_0}} {
		cfg.Model, cfg.Device, cfg.Threads = NanoModel, "cpu", 1
		p, err := Open(t.Context(), cfg)
		require.NoError(t, err)
		f(name, p)
		require.NoError(t, p.Close())
	}
}

// psnr of two pictures of 8 bits a channel, in dB; +Inf where they are equal.
func psnr(t *testing.T, a, b *image.NRGBA) float64 {
	t.Helper()
	require.Equal(t, a.Rect, b.Rect)
	d := distance(a, b, a.Rect)
	return 20 * math.Log10(255/d)
}

// goldenRun is one run_*.json.
type goldenRun struct {
	Prompt            string  `json:"prompt"`
	NegativePrompt    string  `json:"negative_prompt"`
	Seed              int64   `json:"seed"`
	Width             int     `json:"width"`
	Height            int     `json:"height"`
	NumInferenceSteps int     `json:"num_inference_steps"`
	GuidanceScale     float64 `json:"guidance_scale"`
	GuidanceRescale   float64 `json:"guidance_rescale"`
	Strength          float64 `json:"strength"`
	Evaluations       int     `json:"evaluations"`
}

var goldenRuns = []string{"red", "star", "rescale", "negative", "wide", "img2img", "inpaint"}

func readRun(t *testing.T, name string) (goldenRun, request.Request) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(goldens, "run_"+name+".json"))
	require.NoError(t, err)
	var g goldenRun
	require.NoError(t, json.Unmarshal(data, &g))
	r := request.Request{Prompt: g.Prompt, NegativePrompt: g.NegativePrompt, Seed: g.Seed, Width: g.Width, Height: g.Height,
		Strength: g.Strength, NumInferenceSteps: g.NumInferenceSteps, GuidanceScale: g.GuidanceScale, GuidanceRescale: g.GuidanceRescale,
		Scheduler: "EulerDiscrete"}
	if g.Strength > 0 {
		r.InitImage.Path = filepath.Join(goldens, "input_picture.png")
	}
	if name == "inpaint" {
		r.MaskImage.Path = filepath.Join(goldens, "input_mask.png")
		r.Inpaint.PasteBack = new(false) // the golden is what the VAE decodes
	}
	return g, r
}

// goldenPicture is the picture diffusers made, rounded as ours are.
func goldenPicture(t *testing.T, name string, r request.Request) *image.NRGBA {
	pixels := golden(t, "run_"+name+"_pixels").Data
	require.Negative(t, pictures.NotFinite(pixels))
	return pictures.Of(pixels, r.Width, r.Height)
}

// lastOf returns the last of several stacked arrays.
func lastOf(a npy.Array) []float32 {
	n := len(a.Data) / a.Shape[0]
	return a.Data[len(a.Data)-n:]
}

// TestGoldensAreOfThisModel fails where the embedded model was replaced and the goldens were not made again.
func TestGoldensAreOfThisModel(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(goldens, "manifest.json"))
	require.NoError(t, err)
	var manifest struct {
		Model struct {
			SHA256 string `json:"sha256_unpacked"`
		} `json:"model"`
	}
	require.NoError(t, json.Unmarshal(data, &manifest))
	require.Equal(t, nano.BaseSHA256(), manifest.Model.SHA256, "run tools/goldens/make.py again")
}

// TestGoldenRunsExact compares whole runs with diffusers: latents within 1e-3 relative L2, pictures of at least 60 dB.
func TestGoldenRunsExact(t *testing.T) {
	t.Parallel()
	p := openNano(t, backend.PrecisionExact)
	assert.Equal(t, backend.PrecisionExact, p.Info().Precision)
	for _, name := range goldenRuns {
		g, r := readRun(t, name)
		out := generate(t, p, r)
		assert.Equal(t, g.Evaluations, out.Timings.Steps, name)
		l2 := relativeL2(t, out.Images[0].Latents.Data, lastOf(golden(t, "run_"+name+"_latents")))
		db := psnr(t, out.Images[0].NRGBA, goldenPicture(t, name, r))
		t.Logf("%-9s latents %.2g relative L2, picture %.1f dB", name, l2, db)
		assert.Less(t, l2, 1e-3, name)
		assert.GreaterOrEqual(t, db, 60.0, name)
		if name == "wide" {
			noise := golden(t, "run_"+name+"_noise")
			r.Noise = request.Array{Shape: noise.Shape, Data: noise.Data}
			given := generate(t, p, r)
			assert.Less(t, relativeL2(t, given.Images[0].Latents.Data, lastOf(golden(t, "run_"+name+"_latents"))), 1e-3, "%s from the given noise",
				name)
		}
	}
}

// TestGoldenRunsF16 asks for 40 dB against exact arithmetic at the precision most machines use.
func TestGoldenRunsF16(t *testing.T) {
	p := openNano(t, backend.PrecisionF16)
	for _, name := range goldenRuns {
		_, r := readRun(t, name)
		db := psnr(t, generate(t, p, r).Images[0].NRGBA, goldenPicture(t, name, r))
		t.Logf("%-9s %.1f dB", name, db)
		assert.GreaterOrEqual(t, db, 40.0, name)
	}
}

// TestGoldenText compares text embeddings, with and without clip_skip.
func TestGoldenText(t *testing.T) {
	p := openNano(t, backend.PrecisionExact)
	data, err := os.ReadFile(filepath.Join(goldens, "tokens.json"))
	require.NoError(t, err)
	require.NotEmpty(t, data)
	for i, prompt := range []string{"a red circle on a blue background", "a small yellow star on the left on a purple background",
		"an unknown astronaut rides a pink heart"} {
		for skip, suffix := range []string{"", "_skip1"} {
			plan, err := p.Plan(request.Request{Prompt: prompt, ClipSkip: skip})
			require.NoError(t, err)
			s := p.newSitting(sittingOptions{})
			m := s.join(plan, nil, nil)
			require.NoError(t, s.readTexts(t.Context(), m))
			made := m.Base.Now().Positive
			assert.Less(t, relativeL2(t, made[0].Context, golden(t, fmt.Sprintf("text_%d_context%s", i, suffix)).Data), 5e-5, prompt)
			assert.Less(t, relativeL2(t, made[0].Pooled, golden(t, fmt.Sprintf("text_%d_pooled", i)).Data), 5e-5, prompt)
		}
	}
}

// TestFourAtOnce: -n 4 gives the pictures of four runs, as one batch of 4 and as 4 x 1.
func TestFourAtOnce(t *testing.T) {
	p := openNano(t, backend.PrecisionExact)
	_, r := readRun(t, "red")
	r.NumInferenceSteps = 8
	var single []Image
	for i := range 4 {
		one := r
		one.Seed += int64(i)
		single = append(single, generate(t, p, one).Images[0])
	}
	for most, guidance := range map[int]string{4: request.GuidanceJoint, 1: request.GuidanceJoint, 3: request.GuidanceSeparate} {
		all := r
		all.NumImages, all.MaxBatch, all.GuidanceBatch = 4, most, guidance
		for i, img := range generate(t, p, all).Images {
			db := psnr(t, img.NRGBA, single[i].NRGBA)
			t.Logf("picture %d, max_batch %d, guidance %s: %.1f dB", i, most, guidance, db)
			assert.GreaterOrEqual(t, db, 50.0)
		}
	}
}

// TestHeldOutPrompts measures the nano model by its checker on prompts whose combination of colour, shape and
// background was not in training: every eighth of them, or all with DAGUERRE_HELDOUT=all. The rates asked for are
// 95 %; the model card reports all of them.
func TestHeldOutPrompts(t *testing.T) {
	t.Parallel()
	p := openNano(t, backend.PrecisionF16)
	every := 8
	if os.Getenv("DAGUERRE_HELDOUT") == "all" {
		every = 1
	}
	var summary checker.Summary
	for i, h := range checker.HeldOut() {
		if i%every != 0 {
			continue
		}
		out := generate(t, p, request.Request{Prompt: h.Prompt, Seed: h.Seed, NumInferenceSteps: 20})
		result, err := checker.Score(out.Images[0], h.Prompt)
		require.NoError(t, err)
		summary.Add(result)
	}
	t.Log(summary)
	n := float64(summary.N)
	assert.GreaterOrEqual(t, float64(summary.Colour)/n, 0.95)
	assert.GreaterOrEqual(t, float64(summary.Background)/n, 0.95)
	assert.GreaterOrEqual(t, float64(summary.Shape)/n, 0.95)
	assert.GreaterOrEqual(t, float64(summary.Position), 0.95*float64(summary.PositionN))
	assert.GreaterOrEqual(t, float64(summary.Size), 0.95*float64(summary.SizeN))
}

// TestCancelNano stops a run from its own progress reports and by a deadline; the pipeline works on afterwards.
func TestCancelNano(t *testing.T) {
	p := openNano(t, backend.PrecisionExact)
	_, r := readRun(t, "red")
	r.NumInferenceSteps = 500
	ctx, cancel := context.WithCancel(t.Context())
	out, err := p.Generate(ctx, r, WithProgress(func(p Progress) {
		if p.Step == 3 {
			cancel()
		}
	}))
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, 3, out.Timings.Steps)
	assert.Empty(t, out.Images)

	ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	out, err = p.Generate(ctx, r)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Less(t, out.Timings.Steps, 400)
	r.NumInferenceSteps = 2
	generate(t, p, r)
}
