package scheduler

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every name used elsewhere means the same numbers as its diffusers equivalent.
func TestAliases(t *testing.T) {
	karras := Config{UseKarrasSigmas: new(true)}
	for _, c := range []struct {
		names  []string
		class  string
		config Config
	}{
		{[]string{"Euler", "euler", "k_euler", "EulerDiscrete", "euler_discrete", "euler_discrete_scheduler", "EulerDiscreteScheduler"},
			"EulerDiscreteScheduler", Config{}},
		{[]string{"Euler a", "euler_a", "Euler A", "euler_ancestral", "k_euler_a", "EulerAncestralDiscrete"},
			"EulerAncestralDiscreteScheduler", Config{}},
		{[]string{"Euler Karras", "euler_karras", "EulerDiscreteScheduler karras"}, "EulerDiscreteScheduler", karras},
		{[]string{"Euler SGM Uniform", "euler_sgm_uniform", "Euler trailing"}, "EulerDiscreteScheduler",
			Config{TimestepSpacing: "trailing"}},
		{[]string{"Euler exponential"}, "EulerDiscreteScheduler", Config{UseExponentialSigmas: new(true)}},
		{[]string{"Euler beta"}, "EulerDiscreteScheduler", Config{UseBetaSigmas: new(true)}},
		{[]string{"Heun", "heun", "HeunDiscrete"}, "HeunDiscreteScheduler", Config{}},
		{[]string{"DPM2", "dpm_2", "dpm2", "k_dpm_2"}, "KDPM2DiscreteScheduler", Config{}},
		{[]string{"DPM2 Karras", "dpm2_karras"}, "KDPM2DiscreteScheduler", karras},
		{[]string{"DPM2 a", "dpm_2_ancestral", "dpm2_a", "k_dpm_2_a"}, "KDPM2AncestralDiscreteScheduler", Config{}},
		{[]string{"DPM2 a Karras"}, "KDPM2AncestralDiscreteScheduler", karras},
		{[]string{"LMS", "lms", "k_lms"}, "LMSDiscreteScheduler", Config{}},
		{[]string{"LMS Karras"}, "LMSDiscreteScheduler", karras},
		{[]string{"DPM++ 2M", "dpmpp_2m", "dpm++2m", "k_dpmpp_2m", "DPMSolverMultistep", "dpm_solver_multistep"},
			"DPMSolverMultistepScheduler", Config{}},
		{[]string{"DPM++ 2M Karras", "dpm++2m karras", "dpmpp_2m_karras"}, "DPMSolverMultistepScheduler", karras},
		{[]string{"DPM++ 2M SDE", "dpmpp_2m_sde", "dpmpp_2m_sde_gpu"}, "DPMSolverMultistepScheduler",
			Config{AlgorithmType: "sde-dpmsolver++"}},
		{[]string{"DPM++ 2M SDE Karras"}, "DPMSolverMultistepScheduler", karras.With(Config{AlgorithmType: "sde-dpmsolver++"})},
		{[]string{"DPM++ 2M SDE Heun", "dpmpp_2m_sde_heun"}, "DPMSolverMultistepScheduler", Config{AlgorithmType: "sde-dpmsolver++",
			SolverType: "heun"}},
		{[]string{"DPM++ 3M SDE", "dpmpp_3m_sde"}, "DPMSolverMultistepScheduler", Config{AlgorithmType: "sde-dpmsolver++",
			SolverOrder: new(3)}},
		{[]string{"DPM++ 3M SDE Exponential"}, "DPMSolverMultistepScheduler", Config{AlgorithmType: "sde-dpmsolver++",
			SolverOrder: new(3), UseExponentialSigmas: new(true)}},
		{[]string{"DPM++ 2M Lu"}, "DPMSolverMultistepScheduler", Config{UseLuLambdas: new(true)}},
		{[]string{"DPM++ SDE", "dpmpp_sde", "dpmpp_sde_gpu", "DPMSolverSDE", "k_dpmpp_sde"}, "DPMSolverSDEScheduler", Config{}},
		{[]string{"DPM++ SDE Karras"}, "DPMSolverSDEScheduler", karras},
		{[]string{"DPM++ 2S", "DPMSolverSinglestep"}, "DPMSolverSinglestepScheduler", Config{}},
		{[]string{"UniPC", "uni_pc", "uni_pc_bh2", "UniPCMultistep"}, "UniPCMultistepScheduler", Config{}},
		{[]string{"DEIS", "deis", "DEISMultistep"}, "DEISMultistepScheduler", Config{}},
		{[]string{"SA Solver", "sa_solver", "SASolver"}, "SASolverScheduler", Config{}},
		{[]string{"DDIM", "ddim"}, "DDIMScheduler", Config{}},
		{[]string{"ddim_trailing"}, "DDIMScheduler", Config{TimestepSpacing: "trailing"}},
		{[]string{"DDPM", "ddpm"}, "DDPMScheduler", Config{}},
		{[]string{"PLMS", "plms"}, "PNDMScheduler", Config{SkipPRKSteps: new(true)}},
		{[]string{"LCM", "lcm"}, "LCMScheduler", Config{}},
		{[]string{"TCD", "tcd"}, "TCDScheduler", Config{}},
		{[]string{"ipndm"}, "IPNDMScheduler", Config{}},
		{[]string{"EDM Euler", "edm_euler"}, "EDMEulerScheduler", Config{}},
		{[]string{"EDMDPMSolverMultistep"}, "EDMDPMSolverMultistepScheduler", Config{}},
	} {
		want := trajectory(t, c.class, SDXLDefaults().With(c.config))
		for _, name := range c.names {
			assert.Equal(t, want, trajectory(t, name, SDXLDefaults()), name)
			assert.Equal(t, want, trajectory(t, strings.ToUpper(name), SDXLDefaults()), name)
		}
	}
}

// trajectory is a run of 6 steps with goldenModel.
func trajectory(t *testing.T, name string, cfg Config) [][]float32 {
	t.Helper()
	s, err := New(name, cfg)
	require.NoError(t, err, name)
	run, err := s.NewRun(RunOptions{NumInferenceSteps: 6})
	require.NoError(t, err, name)
	return loop(t, run, firstSample(run, 1, 8), 1, &testNoise{images: 1})
}

// Every alias in the table is covered above, or is a spelling of one that is.
func TestEveryAliasResolves(t *testing.T) {
	for _, a := range algorithms {
		for _, p := range append([]preset{{Names: a.Also}}, a.Presets...) {
			for _, n := range p.Names {
				class, options, err := Resolve(n)
				require.NoError(t, err)
				assert.Equal(t, a.Name, class)
				assert.Equal(t, p.Options, options)
			}
		}
		for _, name := range a.Cousins {
			_, _, err := Resolve(name)
			var ne *NameError
			require.True(t, errors.As(err, &ne), name)
			assert.Equal(t, a.Name, ne.Closest)
		}
	}
}

func TestUnknownNames(t *testing.T) {
	for name, want := range map[string]string{
		"Eulr":              "did you mean Euler",
		"DPM++ 2N":          "DPM++ 2M",
		"UniPCMultistp":     "UniPCMultistepScheduler",
		"quantum annealing": "known are EulerDiscreteScheduler",
		"":                  "known are",
		"DPM++ 2S a":        "closest is DPMSolverSinglestepScheduler",
		"DPM2 lu":           "unknown scheduler", // KDPM2 has no such spacing
	} {
		_, err := New(name, Config{})
		assert.ErrorContains(t, err, want, name)
	}
	_, err := New(strings.Repeat("x", 1<<20), Config{})
	require.Error(t, err)
	assert.Less(t, len(err.Error()), 2000)
}

func TestResolveSpacing(t *testing.T) {
	for _, w := range SpacingNames() {
		_, err := ResolveSpacing(strings.ToUpper(w))
		require.NoError(t, err)
	}
	s, err := ResolveSpacing("Align Your Steps")
	require.NoError(t, err)
	assert.Equal(t, ScheduleAYS, s.Schedule)
	s, err = ResolveSpacing("")
	require.NoError(t, err)
	assert.Equal(t, Spacing{}, s)
	_, err = ResolveSpacing("karas")
	assert.ErrorContains(t, err, "karras")
	_, err = ResolveSpacing("bong_tangent")
	assert.ErrorContains(t, err, "no spacing")
}

func TestDescribe(t *testing.T) {
	info, err := Describe("DPM++ 2M Karras")
	require.NoError(t, err)
	assert.Equal(t, "DPMSolverMultistepScheduler", info.Name)
	assert.Contains(t, info.Presets, "DPM++ 2M SDE")
	assert.Contains(t, info.Options, "use_lu_lambdas")
	assert.NotContains(t, info.Options, "s_churn")
	for _, name := range Names() {
		info, err := Describe(name)
		require.NoError(t, err)
		assert.NotEmpty(t, info.Summary)
		for _, o := range info.Options {
			if v, ok := info.Defaults.value(o).(string); ok {
				assert.Contains(t, info.WordValues[o], v, "%s %s", name, o)
			}
		}
	}
}
