package scheduler

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseConfigOfSDXL(t *testing.T) {
	// scheduler_config.json of SDXL base 1.0
	const file = `{"_class_name": "EulerDiscreteScheduler", "_diffusers_version": "0.19.0.dev0", "beta_end": 0.012,
		"beta_schedule": "scaled_linear", "beta_start": 0.00085, "clip_sample": false, "interpolation_type": "linear",
		"num_train_timesteps": 1000, "prediction_type": "epsilon", "sample_max_value": 1.0, "set_alpha_to_one": false,
		"skip_prk_steps": true, "steps_offset": 1, "timestep_spacing": "leading", "trained_betas": null, "use_karras_sigmas": false}`
	class, cfg, err := ParseConfig([]byte(file))
	require.NoError(t, err)
	assert.Equal(t, "EulerDiscreteScheduler", class)
	assert.Equal(t, SDXLDefaults(), cfg)
	s, err := FromJSON([]byte(file))
	require.NoError(t, err)
	assert.Equal(t, "EulerDiscreteScheduler", s.Name())
	assert.Len(t, s.Notes(), 4, "clip_sample, sample_max_value, set_alpha_to_one, skip_prk_steps are not Euler's")
}

func TestParseConfigInfinity(t *testing.T) {
	_, cfg, err := ParseConfig([]byte(`{"lambda_min_clipped": -Infinity, "s_tmax": Infinity, "_note": "Infinity \" -Infinity"}`))
	require.NoError(t, err)
	assert.Equal(t, math.Inf(-1), *cfg.LambdaMinClipped)
	assert.Equal(t, math.Inf(1), *cfg.STmax)
	data, err := json.Marshal(cfg)
	require.NoError(t, err)
	assert.JSONEq(t, `{"lambda_min_clipped": "-inf", "s_tmax": "inf"}`, string(data))
}

func TestConfigFromTOMLTypes(t *testing.T) {
	_, cfg, err := ConfigFromMap(map[string]any{"solver_order": int64(3), "s_churn": int64(2), "eta": 0.5, "use_karras_sigmas": true,
		"disable_corrector": []any{int64(0), int64(1)}, "trained_betas": []any{0.1, 0.2}})
	require.NoError(t, err)
	assert.Equal(t, Config{SolverOrder: new(3), SChurn: new(2.0), Eta: new(0.5), UseKarrasSigmas: new(true),
		DisableCorrector: []int{0, 1}, TrainedBetas: []float64{0.1, 0.2}}, cfg)
}

// Every bad option is an error that names it.
func TestBadOptions(t *testing.T) {
	for _, c := range []struct{ scheduler, config, want string }{
		{"Euler", `{"use_karas_sigmas": true}`,
			"use_karas_sigmas is unknown; it is no option of any scheduler; did you mean use_karras_sigmas?"},
		{"Euler", `{"beta_start": -1}`, "beta_start is -1"},
		{"Euler", `{"beta_start": "0.1"}`, `beta_start is the text "0.1"; give a number`},
		{"Euler", `{"beta_start": 0.5, "beta_end": 0.1}`, "beta_end"},
		{"Euler", `{"beta_schedule": "quadratic"}`, `beta_schedule is "quadratic"; it must be one of "linear", "scaled_linear"`},
		{"Euler", `{"prediction_type": "flow"}`, "prediction_type"},
		{"Euler", `{"prediction_type": ""}`, "prediction_type"},
		{"Euler", `{"num_train_timesteps": 1}`, "num_train_timesteps"},
		{"Euler", `{"num_train_timesteps": 999.5}`, "num_train_timesteps is 999.5; give a whole number"},
		{"Euler", `{"num_train_timesteps": 1e300}`, "num_train_timesteps"},
		{"Euler", `{"use_karras_sigmas": 1}`, "use_karras_sigmas"},
		{"Euler", `{"use_karras_sigmas": true, "use_beta_sigmas": true}`, "only one of use_karras_sigmas and use_beta_sigmas"},
		{"Euler", `{"sigma_min": 3, "sigma_max": 2}`, "sigma_min"},
		{"Euler", `{"steps_offset": -1}`, "steps_offset"},
		{"Euler", `{"timestep_spacing": "random"}`, "timestep_spacing"},
		{"Euler", `{"s_churn": -2}`, "s_churn"},
		{"Euler", `{"trained_betas": [0.1, 2]}`, "trained_betas[1]"},
		{"Euler", `{"trained_betas": 7}`, "trained_betas"},
		{"Euler", `{"trained_betas": [0.1, 0.2], "num_train_timesteps": 1000}`, "trained_betas"},
		{"DPMSolverMultistep", `{"use_dynamic_shifting": true}`, "flow_shift to exp(mu)"},
		{"DPMSolverMultistep", `{"prediction_type": "flow_prediction"}`, "it needs use_flow_sigmas"},
		{"DPMSolverMultistep", `{"use_flow_sigmas": true, "flow_shift": 0}`, "flow_shift is 0"},
		{"DPMSolverMultistep", `{"use_flow_sigmas": true, "use_karras_sigmas": true}`,
			"use_karras_sigmas is true; use_flow_sigmas has its own spacing"},
		{"UniPC", `{"use_flow_sigmas": true, "use_beta_sigmas": true}`, "use_beta_sigmas"},
		{"DPMSolverMultistep",
			`{"use_flow_sigmas": true, "prediction_type": "flow_prediction", "algorithm_type": "dpmsolver",
			"final_sigmas_type": "sigma_min"}`,
			"algorithm_type"},
		{"SASolver", `{"use_flow_sigmas": true, "prediction_type": "flow_prediction", "algorithm_type": "noise_prediction"}`,
			"algorithm_type"},
		{"UniPC", `{"use_flow_sigmas": true, "prediction_type": "flow_prediction", "predict_x0": false,
			"final_sigmas_type": "sigma_min"}`, "predict_x0"},
		{"UniPC", `{"shift_terminal": 0.1}`, "shift_terminal is set; it needs use_flow_sigmas"},
		{"UniPC", `{"solver_p": "EulerDiscreteScheduler"}`, "solver_p"},
		{"Euler", `{"prediction_type": "flow_prediction"}`, "prediction_type"},
		{"DPMSolverMultistep", `{"algorithm_type": "dpmsolver+++"}`, "algorithm_type"},
		{"DPM++ SDE", `{"s_noise": "loud"}`, "s_noise"},
		{"DPMSolverMultistep", `{"solver_order": 7}`, "solver_order is 7; it must be in [1, 3]"},
		{"DPMSolverMultistep", `{"dynamic_thresholding_ratio": 1.5}`, "dynamic_thresholding_ratio"},
		{"UniPC", `{"disable_corrector": [-1]}`, "disable_corrector[0]"},
		{"UniPC", `{"disable_corrector": "0"}`, "disable_corrector"},
		{"DDIM", `{"eta": 1.5}`, "eta"},
		{"DDPM", `{"variance_type": "fixed_large_log"}`, "variance_type"},
		{"DPMSolverMultistep", `{"variance_type": "small"}`, "variance_type"},
		{"PNDM", `{"prediction_type": "sample"}`, "prediction_type"},
		{"LCM", `{"original_inference_steps": 2000}`, "original_inference_steps"},
		{"EDMEuler", `{"rho": 0}`, "rho"},
		{"LMS", `{"lms_order": 9}`, "lms_order"},
	} {
		_, cfg, err := ParseConfig([]byte(c.config))
		if err == nil {
			_, err = New(c.scheduler, cfg)
		}
		var oe *OptionError
		require.True(t, errors.As(err, &oe), "%s %s: %v", c.scheduler, c.config, err)
		assert.ErrorContains(t, err, c.want)
	}
	for _, nan := range []Config{{BetaStart: new(math.NaN())}, {BetaEnd: new(math.Inf(1))}, {SNoise: new(math.NaN())},
		{SigmaMin: new(math.NaN())}} {
		_, err := New("Euler", nan)
		assert.ErrorContains(t, err, nan.set()[0])
	}
	for _, text := range []string{"", "[]", "7", `{"a":`, `{} {}`, "\x00", `{"_class_name": 7}`} {
		_, err := FromJSON([]byte(text))
		assert.Error(t, err, text)
	}
}

func TestBadRuns(t *testing.T) {
	s, err := New("Euler", SDXLDefaults())
	require.NoError(t, err)
	for want, o := range map[string]RunOptions{
		"num_inference_steps is -3":      {NumInferenceSteps: -3},
		"num_inference_steps is 1000000": {NumInferenceSteps: 1e6},
		"exactly one of":                 {},
		"given together with":            {NumInferenceSteps: 3, Sigmas: []float64{1, 0}},
		"sigmas[1]":                      {Sigmas: []float64{1, 2, 0}},
		"sigmas[0]":                      {Sigmas: []float64{math.NaN(), 0}},
		"a list of 1":                    {Sigmas: []float64{1}},
		"strength is 1.5":                {NumInferenceSteps: 3, Strength: 1.5},
		"strength is NaN":                {NumInferenceSteps: 3, Strength: math.NaN()},
		"denoising_end is -0.1":          {NumInferenceSteps: 3, DenoisingEnd: -0.1},
		"batch_size":                     {NumInferenceSteps: 3, BatchSize: -1},
		"schedule":                       {NumInferenceSteps: 3, Schedule: "best"},
		"needs num_inference_steps":      {Schedule: ScheduleAYS},
	} {
		_, err := s.NewRun(o)
		assert.ErrorContains(t, err, want)
	}
	run, err := s.NewRun(RunOptions{NumInferenceSteps: 3, BatchSize: 2})
	require.NoError(t, err)
	x := make([]float32, 8)
	assert.ErrorContains(t, run.Step(x, x[:4], x, 0, nil), "4 values where 8")
	assert.ErrorContains(t, run.Step(x[:7], x[:7], x[:7], 0, nil), "2 images")
	assert.ErrorContains(t, run.Step(nil, nil, nil, 0, nil), "0 values")
	assert.ErrorContains(t, run.ScaleModelInput(x, x, 3), "outside 0 .. 2")
	assert.ErrorContains(t, run.ScaleModelInput(x, x, -1), "outside")
	assert.ErrorContains(t, run.Step(x, x, x, 1, nil), "in order")
	require.NoError(t, run.Step(x, make([]float32, 8), x, 0, nil))
	assert.ErrorContains(t, run.Step(x, make([]float32, 8), x, 2, nil), "1 is next")
	assert.ErrorContains(t, run.Step(x[:4], x[4:], x[:4], 1, nil), "8 are expected")

	noisy, err := New("Euler a", SDXLDefaults())
	require.NoError(t, err)
	run, err = noisy.NewRun(RunOptions{NumInferenceSteps: 3})
	require.NoError(t, err)
	assert.True(t, run.Stochastic())
	assert.ErrorIs(t, run.Step(x, make([]float32, 8), x, 0, nil), ErrNoNoise)
	broken := errors.New("out of entropy")
	assert.ErrorIs(t, run.Step(x, make([]float32, 8), x, 0, NoiseFunc(func([]float32) error { return broken })), broken)
}

// Fallbacks are taken and reported, or refused in strict mode.
func TestFallbacks(t *testing.T) {
	for _, c := range []struct {
		scheduler string
		config    Config
		note      string
		check     func(c Config) bool
	}{
		{"DPMSolverMultistep", Config{AlgorithmType: "dpmsolver"}, "final_sigmas_type sigma_min is used",
			func(c Config) bool { return c.FinalSigmasType == "sigma_min" }},
		{"DPMSolverMultistep", Config{AlgorithmType: "sde-dpmsolver", FinalSigmasType: "sigma_min", SolverOrder: new(3)},
			"solver_order 2", func(c Config) bool { return *c.SolverOrder == 2 }},
		{"DPMSolverMultistep", Config{SolverType: "bh2"}, "midpoint is used", func(c Config) bool { return c.SolverType == "midpoint" }},
		{"DPMSolverSinglestep", Config{AlgorithmType: "deis"}, "dpmsolver++ is used",
			func(c Config) bool { return c.AlgorithmType == "dpmsolver++" }},
		{"UniPC", Config{SolverType: "midpoint"}, "bh2 is used", func(c Config) bool { return c.SolverType == "bh2" }},
		{"UniPC", Config{PredictX0: new(false)}, "sigma_min is used", func(c Config) bool { return c.FinalSigmasType == "sigma_min" }},
		{"UniPC", Config{LowerOrderFinal: new(false)}, "lower_order_final is used", func(c Config) bool { return *c.LowerOrderFinal }},
		{"DEIS", Config{AlgorithmType: "dpmsolver++"}, "deis is used", func(c Config) bool { return c.AlgorithmType == "deis" }},
		{"EDMDPMSolverMultistep", Config{AlgorithmType: "sde-dpmsolver++", SolverOrder: new(3)}, "solver_order 2",
			func(c Config) bool { return *c.SolverOrder == 2 }},
		{"DPM++ 2M", Config{AlgorithmType: "dpmsolver"},
			`the name "DPM++ 2M" sets algorithm_type to dpmsolver++: dpmsolver is not used`,
			func(c Config) bool { return c.AlgorithmType == "dpmsolver++" }},
		{"Euler", Config{SolverOrder: new(2)}, "EulerDiscreteScheduler has no option solver_order: 2 is ignored",
			func(c Config) bool { return c.SolverOrder == nil }},
	} {
		s, err := New(c.scheduler, c.config)
		require.NoError(t, err)
		assert.Contains(t, strings.Join(s.Notes(), "; "), c.note)
		assert.True(t, c.check(s.Config()), c.note)
		if _, preset, _ := Resolve(c.scheduler); len(preset.set()) == 0 {
			_, err = NewStrict(c.scheduler, c.config)
			assert.Error(t, err, "%s strict", c.scheduler)
		}
	}
	for name, n := range map[string]int{"PNDM": 3, "LCM": 80} {
		s, err := New(name, Config{})
		require.NoError(t, err)
		run, err := s.NewRun(RunOptions{NumInferenceSteps: n})
		require.NoError(t, err)
		assert.Len(t, run.Notes(), 1, name)
		strict, err := NewStrict(name, Config{})
		require.NoError(t, err)
		_, err = strict.NewRun(RunOptions{NumInferenceSteps: n})
		assert.ErrorContains(t, err, "strict")
	}
	s, err := New("DDIM", SDXLDefaults().With(Config{RescaleBetasZeroSNR: new(true), TimestepSpacing: "trailing"}))
	require.NoError(t, err)
	_, err = s.NewRun(RunOptions{NumInferenceSteps: 5})
	assert.ErrorContains(t, err, "use v_prediction")
}

func TestConfigIsTheCallers(t *testing.T) {
	cfg := SDXLDefaults()
	s, err := New("Euler", cfg)
	require.NoError(t, err)
	*cfg.NumTrainTimesteps = 3
	got := s.Config()
	assert.Equal(t, 1000, *got.NumTrainTimesteps)
	*got.NumTrainTimesteps = 4
	assert.Equal(t, 1000, *s.Config().NumTrainTimesteps)
}

// FuzzParseConfig: whatever the bytes, a config is refused or makes schedulers whose short runs are finite or refused.
func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"_class_name": "EulerDiscreteScheduler", "beta_start": 0.00085, "steps_offset": 1}`))
	f.Add([]byte(`{"solver_order": 3, "algorithm_type": "sde-dpmsolver++", "lambda_min_clipped": -Infinity}`))
	f.Add([]byte(`{"trained_betas": [0.1, 0.2, 0.3], "use_karras_sigmas": true}`))
	f.Add([]byte(`{"disable_corrector": [0, 1], "sigma_min": 1e-300, "sigma_max": 1e300}`))
	f.Add([]byte(`{"rescale_betas_zero_snr": true, "prediction_type": "v_prediction", "beta_schedule": "laplace"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, cfg, err := ParseConfig(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(cfg)
		require.NoError(t, err)
		_, cfg2, err := ParseConfig(again)
		require.NoError(t, err)
		require.Equal(t, cfg.Map(), cfg2.Map())
		for _, name := range Names() {
			s, err := New(name, cfg)
			if err != nil {
				continue
			}
			if run, err := s.NewRun(RunOptions{NumInferenceSteps: 2}); err == nil {
				x := make([]float32, 4)
				for i := range run.NumEvaluations() {
					require.NoError(t, run.ScaleModelInput(x, x, i))
					require.NoError(t, run.Step(x, make([]float32, 4), x, i, &testNoise{images: 1}))
				}
			}
		}
	})
}
