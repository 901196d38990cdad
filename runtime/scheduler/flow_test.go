package scheduler

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// With the exact flow model of normal data (standard deviation dataStd), flow solvers converge to the known end: the
// probability flow scales a sample by dataStd over its standard deviation at the start.
func TestFlowConverges(t *testing.T) {
	for _, name := range []string{"DPMSolverMultistep", "DPMSolverSinglestep", "UniPC", "DEIS"} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{UseFlowSigmas: new(true), PredictionType: "flow_prediction", FlowShift: new(2.0)}
			s, err := New(name, cfg)
			require.NoError(t, err)
			last := math.Inf(1)
			for _, steps := range []int{10, 40, 160} {
				run, err := s.NewRun(RunOptions{NumInferenceSteps: steps})
				require.NoError(t, err)
				level := func(i int) float64 { v := run.Sigmas()[i]; return v / (1 + v) }
				std := func(s float64) float64 { return math.Hypot((1-s)*dataStd, s) }
				sample, out := []float32{1, -0.5}, make([]float32, 2)
				for i := range run.Timesteps() {
					at := level(i)
					// E[noise - x0 | x] = x * (s - (1-s)*dataStd^2) / std^2
					f := (at - (1-at)*dataStd*dataStd) / (std(at) * std(at))
					for j, x := range sample {
						out[j] = float32(f * float64(x))
					}
					require.NoError(t, run.Step(sample, out, sample, i, nil))
				}
				want := std(level(run.NumEvaluations())) / std(level(0))
				e := math.Abs(float64(sample[0])/want - 1)
				assert.Less(t, e, last/2, "%d steps", steps)
				assert.InDelta(t, -0.5, sample[1]/sample[0], 1e-4)
				last = e
			}
			assert.Less(t, last, 0.01)
		})
	}
}

// flow_shift moves levels towards noise; the inactive values are accepted by schedulers that have no such option.
func TestFlowOptions(t *testing.T) {
	levels := func(shift float64) []float64 {
		s, err := NewStrict("UniPC", Config{UseFlowSigmas: new(true), PredictionType: "flow_prediction", FlowShift: &shift})
		require.NoError(t, err)
		run, err := s.NewRun(RunOptions{NumInferenceSteps: 5})
		require.NoError(t, err)
		return run.Timesteps()
	}
	plain, shifted := levels(1), levels(3)
	for i := 1; i < len(plain); i++ {
		assert.Greater(t, shifted[i], plain[i])
	}
	_, cfg, err := ParseConfig(
		[]byte(`{"use_flow_sigmas": false, "flow_shift": 1.0, "use_dynamic_shifting": false, "time_shift_type": "exponential"}`),
	)
	require.NoError(t, err)
	s, err := NewStrict("EulerDiscrete", cfg)
	require.NoError(t, err)
	assert.Empty(t, s.Notes())
	_, err = NewStrict("EulerDiscrete", Config{UseFlowSigmas: new(true)})
	assert.ErrorContains(t, err, "use_flow_sigmas")

	s, err = New("DPMSolverMultistep", Config{UseFlowSigmas: new(true)})
	require.NoError(t, err)
	_, err = s.NewRun(RunOptions{Timesteps: []float64{900, 100}})
	assert.ErrorContains(t, err, "given together with use_flow_sigmas")
	s, err = New("UniPC", Config{UseFlowSigmas: new(true), ShiftTerminal: new(0.1)})
	require.NoError(t, err)
	_, err = s.NewRun(RunOptions{NumInferenceSteps: 1})
	assert.ErrorContains(t, err, "shift_terminal")
	s, err = New("UniPC", Config{SolverP: "DPMSolverSinglestepScheduler", TimestepSpacing: "leading"})
	require.NoError(t, err)
	_, err = s.NewRun(RunOptions{NumInferenceSteps: 5})
	assert.ErrorContains(t, err, "it visits other timesteps")
}

// A model with learned variance yields two values for each of the sample; fewer are an error, and previews use the prediction alone.
func TestLearnedOutput(t *testing.T) {
	s, err := New("DDPM", SDXLDefaults().With(Config{VarianceType: "learned_range"}))
	require.NoError(t, err)
	run, err := s.NewRun(RunOptions{NumInferenceSteps: 4, BatchSize: 2})
	require.NoError(t, err)
	require.Equal(t, 2, run.OutputsPerValue())
	plain, err := New("DDPM", SDXLDefaults())
	require.NoError(t, err)
	plainRun, err := plain.NewRun(RunOptions{NumInferenceSteps: 4, BatchSize: 2})
	require.NoError(t, err)
	require.Equal(t, 1, plainRun.OutputsPerValue())

	sample := []float32{1, 2, 3, 4}
	prediction := []float32{0.1, 0.2, 0.3, 0.4}
	both := []float32{0.1, 0.2, -1, -1, 0.3, 0.4, -1, -1} // -1: the smallest variance, that of fixed_small
	dst, want := make([]float32, 4), make([]float32, 4)
	assert.ErrorContains(
		t,
		run.Step(dst, prediction, sample, 0, NoiseFunc(func([]float32) error { return nil })),
		"4 values where 8 are expected",
	)
	require.NoError(t, run.PredOriginalSample(dst, both, sample, 0))
	require.NoError(t, plainRun.PredOriginalSample(want, prediction, sample, 0))
	assert.Equal(t, want, dst)

	ones := NoiseFunc(func(z []float32) error {
		for i := range z {
			z[i] = 1
		}
		return nil
	})
	require.NoError(t, run.Step(dst, both, sample, 0, ones))
	require.NoError(t, plainRun.Step(want, prediction, sample, 0, ones))
	assert.InDeltaSlice(t, want, dst, 1e-6)
}
