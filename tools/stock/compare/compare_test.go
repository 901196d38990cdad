package main

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

func TestTimesParser(t *testing.T) {
	var p timesParser
	for _, line := range strings.Split(`  |=====>   | 1/4 a progress bar that is no JSON
{"load_seconds":3.5,"text_seconds":null,"step_seconds":[9,8],"decode_seconds":7}`, "\n") {
		p.line([]byte(line))
	}
	var s sample
	require.NoError(t, p.finish(&s, 2))
	assert.Equal(t, sample{Load: 3.5, Steps: []float64{9, 8}, Decode: 7}, s)
	assert.ErrorContains(t, p.finish(&s, 3), "2 of 3 steps")
}

func TestDaguerreParser(t *testing.T) {
	var p daguerreParser
	for _, line := range strings.Split(`{"schema":1,"event":"start"}
{"event":"model","precision":"bf16","seconds":4}
{"event":"progress","stage":"text","seconds":0.5}
{"event":"progress","stage":"denoise","step":0,"seconds":1.5}
{"event":"progress","stage":"denoise","step":1,"seconds":4}
{"event":"progress","stage":"denoise","step":2,"seconds":6}
{"event":"progress","stage":"decode","step":2,"seconds":6}
{"event":"image","seconds":9}
{"event":"progress","stage":"done","step":2,"seconds":9.5}
{"event":"done","seconds":20}`, "\n") {
		p.line([]byte(line))
	}
	var s sample
	require.NoError(t, p.finish(&s, 2))
	assert.Equal(t, sample{Load: 4, Text: 1, Steps: []float64{2.5, 2}, Decode: 3.5, Note: "bf16"}, s)
	assert.Error(t, p.finish(&s, 4))
}

// ramp is a grey ramp with the same number added to every value.
func ramp(add uint8) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, 16, 8))
	for y := range 8 {
		for x := range 16 {
			v := uint8(10*x) + add
			img.SetNRGBA(x, y, color.NRGBA{v, v, v, 255})
		}
	}
	return img
}

func writePicture(t *testing.T, path string, img image.Image) {
	t.Helper()
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, png.Encode(f, img))
}

func TestAgreement(t *testing.T) {
	a, err := agreementOf(ramp(0), ramp(0))
	require.NoError(t, err)
	assert.EqualValues(t, equalPSNR, a.PSNR)
	a, err = agreementOf(ramp(0), ramp(2))
	require.NoError(t, err)
	assert.InDelta(t, 20*math.Log10(255.0/2), a.PSNR, 1e-9)
	assert.Equal(t, 2, a.MaxDiff)
	assert.InDelta(t, 10*math.Sqrt((16*16-1)/12.0), a.Contrast, 1e-9, "of the numbers 0 to 15, times 10")
}

func TestComparePictures(t *testing.T) {
	dir := t.TempDir()
	a, b, c := filepath.Join(dir, "a.png"), filepath.Join(dir, "b.png"), filepath.Join(dir, "c.png")
	writePicture(t, a, ramp(0))
	writePicture(t, b, ramp(2))
	writePicture(t, c, image.NewNRGBA(image.Rect(0, 0, 8, 8)))
	got, err := comparePictures(a, b)
	require.NoError(t, err)
	assert.Equal(t, 2, got.MaxDiff)
	_, err = comparePictures(a, c)
	assert.ErrorContains(t, err, "c.png")
}

func testOptions() options {
	return options{model: "m.safetensors", stockVariants: "f16,q8_0+fa+direct", daguerreVariants: "auto, q8_0", rounds: 1, threads: 2,
		task: task{Prompt: "a fox", NegativePrompt: "blurry", Size: 256, Steps: 4, Guidance: 5, Seed: 42}}
}

// The run file must be one that daguerre takes, and mean the stock engine's schedule.
func TestRunFile(t *testing.T) {
	data, err := json.Marshal(runFile(testOptions(), "auto", "out.png"))
	require.NoError(t, err)
	run, err := request.DecodeJSON(data)
	require.NoError(t, err)
	require.NoError(t, run.Validate())
	require.Len(t, run.Jobs, 1)
	assert.Equal(t, "auto", run.Model.Precision)
	assert.Equal(t, 2, run.Model.Threads)

	class, cfg, err := scheduler.ConfigFromMap(run.Jobs[0].SchedulerOptions)
	require.NoError(t, err)
	assert.Empty(t, class)
	s, err := scheduler.New(run.Jobs[0].Scheduler, scheduler.SDXLDefaults().With(cfg))
	require.NoError(t, err)
	r, err := s.NewRun(scheduler.RunOptions{NumInferenceSteps: 4})
	require.NoError(t, err)
	assert.Equal(t, []float64{999, 666, 333, 0}, r.Timesteps())
	assert.InEpsilonSlice(t, stockSigmas(4)[:4], r.Sigmas()[:4], 1e-4)
	assert.Zero(t, r.Sigmas()[4])
	assert.InEpsilon(t, stockSigmas(4)[0], r.InitNoiseSigma(), 1e-4)

	other := runFile(testOptions(), "q8_0", "out.png")["model"].(map[string]any)
	assert.Equal(t, "q8_0", other["type"])
	assert.NotContains(t, other, "precision")
}

// stockSigmas is the stock engine's discrete schedule: calculate_alphas_cumprod and DiscreteScheduler.
func stockSigmas(n int) []float64 {
	low, high, product := math.Sqrt(0.00085), math.Sqrt(0.012), 1.0
	table := make([]float64, 1000)
	for i := range table {
		beta := low + (high-low)*float64(i)/999
		product *= 1 - beta*beta
		table[i] = math.Sqrt((1 - product) / product)
	}
	sigmas := make([]float64, n+1)
	for i := range n {
		t := 999 - 999/float64(n-1)*float64(i)
		a, b := int(math.Floor(t)), int(math.Ceil(t))
		w := t - float64(a)
		sigmas[i] = math.Exp((1-w)*math.Log(table[a]) + w*math.Log(table[b]))
	}
	return sigmas
}

func TestVariants(t *testing.T) {
	o := testOptions()
	v, err := o.variants()
	require.NoError(t, err)
	var names []string
	for _, x := range v {
		names = append(names, x.name)
	}
	assert.Equal(t, []string{"stock f16", "stock q8_0+fa+direct", "Daguerre auto", "Daguerre q8_0"}, names)
	for i, x := range v {
		assert.True(t, o.takesPart(x, 5), x.name)
		few := o
		few.stockRounds = 1
		assert.True(t, few.takesPart(x, 0), x.name)
		assert.Equal(t, i >= 2, few.takesPart(x, 1), x.name) // Daguerre's
	}
	for _, bad := range []string{"", "f16+speed", "+fa", "f16,"} {
		o.stockVariants = bad
		_, err := o.variants()
		assert.ErrorContains(t, err, "--stock-variants", bad)
	}
	o = testOptions()
	o.daguerreVariants = "auto,"
	_, err = o.variants()
	assert.ErrorContains(t, err, "--daguerre-variants")
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "model")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	good := testOptions()
	good.model, good.stock, good.daguerre = file, file, file
	require.NoError(t, good.check())
	for want, change := range map[string]func(*options){
		"--model is missing":  func(o *options) { o.model = "" },
		"--model":             func(o *options) { o.model = filepath.Join(dir, "absent") },
		"tools/stock/build":   func(o *options) { o.stock = filepath.Join(dir, "absent") },
		"make":                func(o *options) { o.daguerre = filepath.Join(dir, "absent") },
		"--rounds":            func(o *options) { o.rounds = 0 },
		"--stock-rounds 2":    func(o *options) { o.stockRounds = 2 },
		"--stock-rounds -1":   func(o *options) { o.stockRounds = -1 },
		"--size":              func(o *options) { o.task.Size = 200 },
		"--steps":             func(o *options) { o.task.Steps = 6 },
		"--negative-prompt":   func(o *options) { o.task.NegativePrompt = "" },
		"prompts contain":     func(o *options) { o.task.Prompt = "a (red:1.2) fox" },
		"prompts contain wei": func(o *options) { o.task.NegativePrompt = "a BREAK b" },
	} {
		o := good
		change(&o)
		assert.ErrorContains(t, o.check(), want)
	}
}

// The test program stands in for both programs: as a child it prints what it was told to.
func TestMain(m *testing.M) {
	if out := os.Getenv("COMPARE_TEST_PRINT"); out != "" {
		fmt.Print(out)
		if os.Getenv("COMPARE_TEST_FAIL") != "" {
			fmt.Fprintln(os.Stderr, "a complaint")
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestMeasure(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	t.Setenv("COMPARE_TEST_PRINT", "a line of a library\n{\"step_seconds\": [1, 2]}\n")
	ctx, o := context.Background(), options{task: task{Steps: 2}}
	s, err := measure(ctx, o, exec.CommandContext(ctx, self), "x.png", &timesParser{})
	require.NoError(t, err)
	assert.Equal(t, []float64{1, 2}, s.Steps)
	assert.Equal(t, "x.png", s.Picture)
	assert.Positive(t, s.Total)
	assert.Positive(t, s.PeakRSS)

	t.Setenv("COMPARE_TEST_FAIL", "yes")
	_, err = measure(ctx, o, exec.CommandContext(ctx, self), "", &timesParser{})
	assert.ErrorContains(t, err, "exit status 3")
	assert.ErrorContains(t, err, "a line of a library")
	assert.ErrorContains(t, err, "a complaint")

	ctx, cancel := context.WithCancel(ctx)
	cancel()
	_, err = measure(ctx, o, exec.CommandContext(ctx, self), "", &timesParser{})
	assert.ErrorIs(t, err, context.Canceled)
}

func TestReport(t *testing.T) {
	dir := t.TempDir()
	r := &report{machine: machine{CPU: "a CPU", Processors: 2, Memory: 8 << 30, System: "linux", Commit: "abc"}, options: testOptions(),
		build: stockBuildInfo{Engine: "engine 1"}, variants: []variant{{name: "stock f16"}, {name: "Daguerre auto"}},
		load: [2]float64{0.1, 2}, samples: map[int][]sample{}}
	for i, add := range []uint8{0, 1} {
		path := filepath.Join(dir, []string{"a.png", "b.png"}[i])
		writePicture(t, path, ramp(add))
		f := float64(2 - i) // the second is twice as fast
		for _, step := range []float64{8, 10, 30} {
			r.samples[i] = append(r.samples[i], sample{Load: 2 * f, Text: 3 * f, Steps: []float64{step * f}, Decode: 4 * f, Total: 20 * f,
				CPU: 39 * f, PeakRSS: 1 << 30, Picture: path, Note: []string{"", "bf16"}[i]})
		}
	}
	var out strings.Builder
	require.NoError(t, r.markdown(&out))
	assert.Contains(t, out.String(), "| stock f16 | 20.00 | 16.00 to 60.00 | 6.00 |")
	assert.Contains(t, out.String(), "| Daguerre auto (bf16) | 10.00 (2.00x) | 8.00 to 30.00 | 3.00 (2.00x) |")
	assert.Contains(t, out.String(), "| 8.00 | 414.00 |", "VAE decoding, and a picture of 20 steps")
	assert.Contains(t, out.String(), "| 98 % |")
	assert.Contains(t, out.String(), "| Daguerre auto (bf16) | 48.1 | 1 | 46.1 |")
	assert.Contains(t, out.String(), "load average 0.10 before, 2.00 after")

	path := filepath.Join(dir, "out.json")
	require.NoError(t, r.writeJSON(path))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var read struct {
		Variants []struct {
			Name    string
			Step    float64 `json:"step_seconds"`
			Samples []sample
		}
	}
	require.NoError(t, json.Unmarshal(data, &read))
	require.Len(t, read.Variants, 2)
	assert.Equal(t, 10.0, read.Variants[1].Step)
	assert.Len(t, read.Variants[0].Samples, 3)
}
