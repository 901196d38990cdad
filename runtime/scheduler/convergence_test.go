package scheduler

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// gaussianModel is the exact noise predictor for data that are normal with standard deviation dataStd. The probability-flow
// ODE then has the solution x(sigma) = x(sigma_0) * sqrt((sigma^2+dataStd^2)/(sigma_0^2+dataStd^2)), in the
// variance-exploding frame.
const dataStd = 0.7

func gaussianModel(out, sample []float32, sigma float64, ve bool) {
	for j, v := range sample {
		x := float64(v)
		if !ve {
			x *= math.Sqrt(1 + sigma*sigma)
		}
		out[j] = float32(x * sigma / (sigma*sigma + dataStd*dataStd))
	}
}

// gaussianRun makes a whole run of a scheduler over gaussianModel from a sample with variance that of the noisy data.
func gaussianRun(t *testing.T, name string, cfg Config, steps int, start []float32, noise NoiseSource) (sample []float32, run Run) {
	t.Helper()
	s, err := New(name, SDXLDefaults().With(cfg))
	require.NoError(t, err)
	run, err = s.NewRun(RunOptions{NumInferenceSteps: steps})
	require.NoError(t, err)
	ve := math.Abs(run.InitNoiseSigma()-1) > 1e-9
	sigma := run.Sigmas()[0]
	scale := math.Sqrt(sigma*sigma + dataStd*dataStd)
	if !ve {
		scale /= math.Sqrt(1 + sigma*sigma)
	}
	sample = make([]float32, len(start))
	for j, v := range start {
		sample[j] = float32(float64(v) * scale)
	}
	out := make([]float32, len(start))
	for i := range run.NumEvaluations() {
		gaussianModel(out, sample, run.Sigmas()[i], ve)
		require.NoError(t, run.Step(sample, out, sample, i, noise))
	}
	return sample, run
}

// finalStd is the standard deviation of data with the noise that is left after a run.
func finalStd(run Run) float64 {
	sigma := run.Sigmas()[run.NumEvaluations()]
	std := math.Sqrt(sigma*sigma + dataStd*dataStd)
	if math.Abs(run.InitNoiseSigma()-1) < 1e-9 {
		std /= math.Sqrt(1 + sigma*sigma)
	}
	return std
}

// Deterministic schedulers converge to the exact solution of the ODE with their order: four times the steps make the error
// 4^order times smaller, or nearly so. (They end at training's lowest level, because the step from there to 0 is Euler's
// for all of them; Heun and KDPM2 cannot, and are only held to a small error.)
func TestDeterministicSchedulersConverge(t *testing.T) {
	last := Config{FinalSigmasType: "sigma_min", TimestepSpacing: "linspace", LowerOrderFinal: new(true)}
	order := func(n int) Config { return last.With(Config{SolverOrder: new(n)}) }
	for _, c := range []struct {
		name   string
		config Config
		order  float64
		at160  float64 // bound of the relative error
	}{
		{"Euler", last, 1, 0.015},
		{"Euler Karras", last, 1, 0.015},
		{"Heun", last, 0, 0.002},
		{"Heun Karras", last, 0, 0.002},
		{"DPM2 Karras", last, 0, 0.002},
		{"LMS", last, 3, 1e-5},
		{"DPM++ 2M Karras", last, 2, 5e-4},
		{"DPM++ 2M Lu", last, 2, 2e-4},
		{"DPMSolverMultistep Lu", order(3), 2, 1e-4},
		{"DPMSolverMultistep Exponential", last.With(Config{AlgorithmType: "dpmsolver"}), 2, 5e-4},
		{"DPM++ 2S Exponential", last, 2, 1e-3},
		{"DPMSolverSinglestep Exponential", order(3), 3, 2e-5},
		{"UniPC Exponential", last, 3, 2e-5},
		{"UniPC Exponential", order(3), 3, 2e-6},
		{"DEIS Exponential", last, 2, 5e-4},
		{"DEIS Exponential", order(3), 2, 1e-5},
		{"SASolver Exponential", last.With(Config{Tau: new(0.0)}), 2, 5e-4},
		{"SASolver Exponential", last.With(Config{Tau: new(0.0), PredictorOrder: new(3), CorrectorOrder: new(3)}), 2, 2e-6},
		{"PLMS", last, 0, 0.03},
		{"DDIM", last, 0, 0.02},
	} {
		relative := func(steps int) float64 {
			got, run := gaussianRun(t, c.name, c.config, steps, []float32{1, -0.5}, &testNoise{images: 1})
			assert.InDelta(t, -0.5, got[1]/got[0], 1e-4)
			return math.Abs(float64(got[0])/finalStd(run) - 1)
		}
		e := relative(160)
		assert.Less(t, e, c.at160, "%s %v", c.name, c.config.Map())
		if c.order > 0 {
			assert.Greater(t, relative(40)/e, 0.6*math.Pow(4, c.order), "%s %v", c.name, c.config.Map())
		}
	}
}

// Stochastic schedulers end in samples with the variance of the data.
func TestStochasticSchedulersKeepTheVariance(t *testing.T) {
	const n = 2000
	for _, c := range []struct {
		name   string
		config Config
	}{
		{"Euler a", Config{}},
		{"DPM2 a Karras", Config{}},
		{"DPM++ SDE Karras", Config{}},
		{"DPM++ 2M SDE Karras", Config{}},
		{"DPM++ 2M SDE", Config{}},
		{"DPM++ 2M SDE Heun Karras", Config{}},
		{"DPM++ 3M SDE Karras", Config{}},
		{"DPMSolverSinglestep Karras", Config{AlgorithmType: "sde-dpmsolver++"}},
		{"DDIM", Config{Eta: new(1.0), SetAlphaToOne: new(true)}},
		{"DDPM", Config{}},
		{"SASolver Karras", Config{}},
		{"SASolver Karras", Config{Tau: new(1.0), TauStart: new(999.0), TauEnd: new(0.0)}},
		{"Euler Karras", Config{SChurn: new(20.0)}},
	} {
		r := rand.New(rand.NewPCG(5, 6))
		normal := NoiseFunc(func(dst []float32) error {
			for i := range dst {
				dst[i] = float32(r.NormFloat64())
			}
			return nil
		})
		start := make([]float32, n)
		require.NoError(t, normal(start))
		got, run := gaussianRun(t, c.name, c.config, 800, start, normal)
		sum := 0.0
		for _, v := range got {
			sum += float64(v) * float64(v) / n
		}
		// the estimate itself has a standard deviation of 1/sqrt(2n) = 1.6 %
		assert.InEpsilon(t, finalStd(run), math.Sqrt(sum), 0.05, "%s %v", c.name, c.config.Map())
	}
}
