package scheduler

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// everyScheduler runs a test for each registered scheduler with SDXL's options.
func everyScheduler(t *testing.T, test func(t *testing.T, name string, s Scheduler)) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			s, err := New(name, SDXLDefaults())
			require.NoError(t, err)
			test(t, name, s)
		})
	}
}

// testNoise yields noise for n images, each from its own stream, as rng.Batch does.
type testNoise struct{ images, draws int }

func (n *testNoise) Normal(dst []float32) error {
	size := len(dst) / n.images
	for i := range n.images {
		goldenNoise(dst[i*size:(i+1)*size], 100*i+n.draws+2)
	}
	n.draws++
	return nil
}

// imageModel is goldenModel for each image on its own.
func imageModel(dst, x []float32, t float64, images int) {
	size := len(x) / images
	for i := range images {
		goldenModel(dst[i*size:(i+1)*size], x[i*size:(i+1)*size], t)
	}
}

// loop runs evaluations from first on and returns the sample after each.
func loop(t *testing.T, run Run, sample []float32, images int, noise NoiseSource) [][]float32 {
	t.Helper()
	var all [][]float32
	in, out := make([]float32, len(sample)), make([]float32, len(sample))
	for i, ts := range run.Timesteps() {
		require.NoError(t, run.ScaleModelInput(in, sample, i))
		imageModel(out, in, ts, images)
		require.NoError(t, run.Step(sample, out, sample, i, noise))
		all = append(all, append([]float32(nil), sample...))
	}
	return all
}

// firstSample is the start of a run from noise.
func firstSample(run Run, images, size int) []float32 {
	s := make([]float32, images*size)
	for i := range images {
		goldenNoise(s[i*size:(i+1)*size], 10*i)
	}
	for j := range s {
		s[j] *= float32(run.InitNoiseSigma())
	}
	return s
}

func requireFinite(t *testing.T, s []float32, what string, args ...any) {
	t.Helper()
	for _, v := range s {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			t.Fatalf("%s: not finite", fmt.Sprintf(what, args...))
		}
	}
}

func TestFiniteForAllStepCounts(t *testing.T) {
	counts := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 15, 16, 20, 30, 49, 51, 100, 250, 333, 499, 500, 501, 666, 750, 998, 999, 1000}
	spacings := []string{"leading", "linspace", "trailing"}
	everyScheduler(t, func(t *testing.T, name string, _ Scheduler) {
		for _, spacing := range spacings {
			s, err := New(name, SDXLDefaults().With(Config{TimestepSpacing: spacing}))
			require.NoError(t, err)
			for _, n := range counts {
				run, err := s.NewRun(RunOptions{NumInferenceSteps: n})
				require.NoError(t, err, "%d steps, %s", n, spacing)
				require.LessOrEqual(t, run.NumSteps(), n)
				sample := firstSample(run, 1, 8)
				loop(t, run, sample, 1, &testNoise{images: 1})
				requireFinite(t, sample, "%d steps, %s", n, spacing)
				for _, v := range run.Timesteps() {
					require.True(t, v >= -2 && v <= 999, "timestep %g", v)
				}
			}
		}
	})
}

func TestRunShape(t *testing.T) {
	everyScheduler(t, func(t *testing.T, _ string, s Scheduler) {
		run, err := s.NewRun(RunOptions{NumInferenceSteps: 20})
		require.NoError(t, err)
		n := run.NumEvaluations()
		assert.Len(t, run.Timesteps(), n)
		assert.Len(t, run.Sigmas(), n+1)
		assert.Equal(t, 20, run.NumSteps())
		for i := range n {
			step := run.StepOf(i)
			assert.True(t, step >= 0 && step < run.NumSteps())
			if i > 0 {
				assert.Contains(t, []int{0, 1}, step-run.StepOf(i-1), "steps come in order")
			}
		}
		assert.Equal(t, 0, run.StepOf(0))
		assert.Equal(t, 19, run.StepOf(n-1))
	})
}

// Every picture of a batch is the same as when it is made alone.
func TestBatchEqualsSingles(t *testing.T) {
	const images, size = 3, 24
	everyScheduler(t, func(t *testing.T, name string, _ Scheduler) {
		cfg := SDXLDefaults().With(Config{Thresholding: new(true), SampleMaxValue: new(1.5), Eta: new(0.5)})
		s, err := New(name, cfg)
		require.NoError(t, err)
		run, err := s.NewRun(RunOptions{NumInferenceSteps: 7, BatchSize: images})
		require.NoError(t, err)
		batch := firstSample(run, images, size)
		loop(t, run, batch, images, &testNoise{images: images})
		for k := range images {
			one, err := s.NewRun(RunOptions{NumInferenceSteps: 7})
			require.NoError(t, err)
			sample := firstSample(one, images, size)[k*size : (k+1)*size]
			draws := 0
			noise := NoiseFunc(func(dst []float32) error {
				goldenNoise(dst, 100*k+draws+2)
				draws++
				return nil
			})
			loop(t, one, sample, 1, noise)
			assert.Equal(t, sample, batch[k*size:(k+1)*size], "image %d", k)
		}
	})
}

// Two runs of one scheduler, their steps in turn, yield what each yields alone; a run started again at 0 repeats
// itself; a Step whose dst is another slice yields the same.
func TestRunsShareNothing(t *testing.T) {
	everyScheduler(t, func(t *testing.T, _ string, s Scheduler) {
		newRun := func(n int) Run {
			run, err := s.NewRun(RunOptions{NumInferenceSteps: n})
			require.NoError(t, err)
			return run
		}
		alone := newRun(9)
		first := firstSample(alone, 1, 16)
		want := loop(t, alone, append([]float32(nil), first...), 1, &testNoise{images: 1})
		again := loop(t, alone, append([]float32(nil), first...), 1, &testNoise{images: 1})
		require.Equal(t, want, again, "a run begun again")

		a, b := newRun(9), newRun(4)
		sa, sb := append([]float32(nil), first...), firstSample(b, 1, 16)
		na, nb := &testNoise{images: 1}, &testNoise{images: 1}
		in, out, dst := make([]float32, 16), make([]float32, 16), make([]float32, 16)
		for i := range a.NumEvaluations() {
			for k, r := range []Run{a, b} {
				if i >= r.NumEvaluations() {
					continue
				}
				sample, noise := sa, na
				if k == 1 {
					sample, noise = sb, nb
				}
				require.NoError(t, r.ScaleModelInput(in, sample, i))
				goldenModel(out, in, r.Timesteps()[i])
				require.NoError(t, r.Step(dst, out, sample, i, noise))
				copy(sample, dst)
			}
			require.Equal(t, want[i], sa, "evaluation %d", i)
		}
	})
}

func TestNoAllocationAfterFirstStep(t *testing.T) {
	everyScheduler(t, func(t *testing.T, name string, _ Scheduler) {
		for _, extra := range []Config{{}, {Thresholding: new(true)}, {PredictionType: "v_prediction"}, {SolverOrder: new(3)}} {
			s, err := New(name, SDXLDefaults().With(extra))
			require.NoError(t, err)
			run, err := s.NewRun(RunOptions{NumInferenceSteps: 12})
			require.NoError(t, err)
			sample, out := firstSample(run, 1, 64), make([]float32, 64)
			noise := NoiseFunc(func(dst []float32) error { clear(dst); return nil })
			round := func() {
				for i := range run.NumEvaluations() {
					_ = run.ScaleModelInput(out, sample, i)
					_ = run.PredOriginalSample(out, out, sample, i)
					if err := run.Step(sample, out, sample, i, noise); err != nil {
						t.Fatal(err)
					}
				}
			}
			assert.Zero(t, testing.AllocsPerRun(3, round), "%s", extra.set())
		}
	})
}

// A config survives JSON, and means the same scheduler afterwards.
func TestConfigRoundTrip(t *testing.T) {
	everyScheduler(t, func(t *testing.T, name string, s Scheduler) {
		data, err := json.Marshal(s.Config())
		require.NoError(t, err)
		_, cfg, err := ParseConfig(data)
		require.NoError(t, err)
		assert.Equal(t, s.Config(), cfg)
		again, err := NewStrict(name, cfg)
		require.NoError(t, err)
		assert.Equal(t, s.Config(), again.Config())
		assert.Empty(t, again.Notes())
	})
}

// The config of every scheduler can be carried to every other.
func TestConfigSwap(t *testing.T) {
	everyScheduler(t, func(t *testing.T, _ string, s Scheduler) {
		for _, other := range Names() {
			o, err := New(other, s.Config())
			require.NoError(t, err, "%s from %s", other, s.Name())
			run, err := o.NewRun(RunOptions{NumInferenceSteps: 5})
			require.NoError(t, err)
			sample := firstSample(run, 1, 8)
			loop(t, run, sample, 1, &testNoise{images: 1})
			requireFinite(t, sample, "%s from %s", other, s.Name())
		}
	})
}

func TestCustomTimesteps(t *testing.T) {
	custom := []float64{900, 600, 333, 100, 7}
	everyScheduler(t, func(t *testing.T, name string, s Scheduler) {
		info, err := Describe(name)
		require.NoError(t, err)
		run, err := s.NewRun(RunOptions{Timesteps: custom})
		if !info.Timesteps {
			assert.ErrorContains(t, err, "timesteps")
			return
		}
		require.NoError(t, err)
		assert.Equal(t, len(custom), run.NumSteps())
		assert.Equal(t, 900.0, run.Timesteps()[0])
		sample := firstSample(run, 1, 8)
		loop(t, run, sample, 1, &testNoise{images: 1})
		requireFinite(t, sample, "%s", name)
		for _, bad := range [][]float64{{}, {5, 6}, {5, 5}, {1000}, {-1}, {math.NaN()}} {
			_, err := s.NewRun(RunOptions{Timesteps: bad})
			assert.ErrorContains(t, err, "timesteps", "%v", bad)
		}
	})
}

// Starts in the middle: the run has the schedule's end, AddNoise gives its first level, and the parts of a run split by
// DenoisingEnd and DenoisingStart visit the timesteps of the whole.
func TestStartInTheMiddle(t *testing.T) {
	everyScheduler(t, func(t *testing.T, _ string, s Scheduler) {
		whole, err := s.NewRun(RunOptions{NumInferenceSteps: 20})
		require.NoError(t, err)
		run, err := s.NewRun(RunOptions{NumInferenceSteps: 20, Strength: 0.5})
		require.NoError(t, err)
		n := run.NumEvaluations()
		assert.Equal(t, whole.Timesteps()[whole.NumEvaluations()-n:], run.Timesteps())
		assert.InDelta(t, 10, run.NumSteps(), 1)
		x, z, y := make([]float32, 8), make([]float32, 8), make([]float32, 8)
		goldenNoise(x, 1)
		goldenNoise(z, 0)
		require.NoError(t, run.AddNoise(y, x, z, 0))
		loop(t, run, y, 1, &testNoise{images: 1})
		requireFinite(t, y, "strength")
		require.NoError(t, run.AddNoise(y, x, z, n))

		full, err := s.NewRun(RunOptions{NumInferenceSteps: 20, Strength: 1})
		require.NoError(t, err)
		assert.Equal(t, whole.Timesteps(), full.Timesteps())

		base, err := s.NewRun(RunOptions{NumInferenceSteps: 20, DenoisingEnd: 0.8})
		if err != nil {
			assert.ErrorContains(t, err, "denoising", "timesteps of another kind")
			return
		}
		refiner, err := s.NewRun(RunOptions{NumInferenceSteps: 20, DenoisingStart: 0.8})
		require.NoError(t, err)
		for _, v := range base.Timesteps() {
			assert.GreaterOrEqual(t, v, 200.0)
		}
		if s.(*sched).algo.Order == 1 {
			assert.Equal(t, whole.Timesteps(), append(append([]float64(nil), base.Timesteps()...), refiner.Timesteps()...))
		}
		_, err = s.NewRun(RunOptions{NumInferenceSteps: 20, DenoisingStart: 0.8, DenoisingEnd: 0.7})
		assert.ErrorContains(t, err, "denoising_start")
		_, err = s.NewRun(RunOptions{NumInferenceSteps: 2, Strength: 0.1})
		assert.ErrorContains(t, err, "no step is left")
	})
}

// A perfect model, which knows the picture, is followed to it by every scheduler in every prediction type. (Models of
// EDM's and IPNDM's schedulers predict in other frames, which the goldens cover.)
func TestPerfectModelIsRecovered(t *testing.T) {
	for _, name := range Names() {
		if name != "IPNDMScheduler" && !strings.HasPrefix(name, "EDM") {
			t.Run(name, func(t *testing.T) { testPerfectModel(t, name) })
		}
	}
}

func testPerfectModel(t *testing.T, name string) {
	for _, prediction := range []string{"epsilon", "v_prediction", "sample"} {
		s, err := New(name, SDXLDefaults().With(Config{PredictionType: prediction, FinalSigmasType: "zero", SetAlphaToOne: new(true)}))
		if err != nil {
			assert.ErrorContains(t, err, "prediction_type")
			continue
		}
		run, err := s.NewRun(RunOptions{NumInferenceSteps: 30})
		require.NoError(t, err)
		x0, out, pred := make([]float32, 12), make([]float32, 12), make([]float32, 12)
		goldenNoise(x0, 5)
		sample := firstSample(run, 1, 12)
		for i := range run.NumEvaluations() {
			perfectOutput(out, sample, x0, prediction, run, i)
			require.NoError(t, run.PredOriginalSample(pred, out, sample, i))
			assert.Less(t, relL2(pred, x0), 1e-3, "%s: x0 at evaluation %d", prediction, i)
			require.NoError(t, run.Step(sample, out, sample, i, &testNoise{images: 1}))
		}
		last := run.Sigmas()[run.NumEvaluations()]
		assert.Less(t, relL2(sample, x0), 0.02+4*last, "%s", prediction)
	}
}

// perfectOutput is what a model that knows x0 predicts for a sample at evaluation i.
func perfectOutput(out, sample, x0 []float32, prediction string, run Run, i int) {
	sigma := run.Sigmas()[i]
	ve := math.Abs(run.InitNoiseSigma()-1) > 1e-9 // samples are x0 + sigma*noise, not scaled to variance 1
	for j := range out {
		x := float64(sample[j])
		if !ve {
			x *= math.Sqrt(1 + sigma*sigma) // to the variance-exploding frame
		}
		eps := (x - float64(x0[j])) / sigma
		switch prediction {
		case "epsilon":
			out[j] = float32(eps)
		case "v_prediction":
			out[j] = float32((eps - sigma*float64(x0[j])) / math.Sqrt(1+sigma*sigma))
		default:
			out[j] = x0[j]
		}
	}
}
