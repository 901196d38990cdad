package scheduler

import "math"

// eulerDiscrete is Euler's method in the variance-exploding frame (arXiv:2206.00364, algorithm 2, without the
// second-order correction).
var eulerDiscrete = &algorithm{
	name:    "EulerDiscreteScheduler",
	summary: "Euler's method; deterministic unless s_churn is set",
	order:   1,
	defaults: Config{
		NumTrainTimesteps: new(1000), BetaStart: new(0.0001), BetaEnd: new(0.02), BetaSchedule: "linear",
		PredictionType: "epsilon", InterpolationType: "linear",
		UseKarrasSigmas: new(false), UseExponentialSigmas: new(false), UseBetaSigmas: new(false),
		TimestepSpacing: "linspace", TimestepType: "discrete", StepsOffset: new(0),
		RescaleBetasZeroSNR: new(false), FinalSigmasType: "zero",
		SChurn: new(0.0), STmin: new(0.0), STmax: new(math.Inf(1)), SNoise: new(1.0),
	},
	optional: []string{"trained_betas", "sigma_min", "sigma_max"},
	values: commonValues(map[string][]string{
		"prediction_type":    {"epsilon", "v_prediction", "sample", "original_sample"},
		"interpolation_type": {"linear", "log_linear"},
		"timestep_type":      {"discrete", "continuous"},
	}),
	floorZeroSNR:    true,
	customTimesteps: true,
	customSigmas:    true,
	continuous:      func(c *Config) bool { return c.TimestepType == "continuous" && c.PredictionType == "v_prediction" },
	start:           startEuler,
}

// startEuler is set_timesteps of EulerDiscreteScheduler.
func startEuler(s *sched, o *RunOptions) (*plan, solver, error) {
	c := &s.cfg
	continuous := s.algo.continuous(c)
	if continuous && o.Timesteps != nil {
		return nil, nil, s.algo.bad("timesteps", "given together with timestep_type continuous and v_prediction", "give sigmas or num_inference_steps")
	}
	timesteps, sigmas, err := s.veSchedule(o)
	if err != nil {
		return nil, nil, err
	}
	e := &euler{veSpace: veSpace{narrow(sigmas), predictionOf(c)}, churn: newChurn(c, len(sigmas)-1)}
	if continuous {
		for i := range timesteps {
			timesteps[i] = float64(0.25 * log32(e.sigmas[i]))
		}
	}
	return s.vePlan(timesteps, sigmas), e, nil
}

type euler struct {
	veSpace
	churn
}

func (e *euler) reset(_, _ int) {}

func (e *euler) noisy(i int) bool { return e.gamma(e.sigmas[i]) > 0 }

func (e *euler) step(dst, out, sample, noise []float32, i int) {
	sigma := e.sigmas[i]
	hat := sigma
	if noise != nil {
		hat = e.add(dst, sample, noise, sigma)
		sample = dst
	}
	dt := e.sigmas[i+1] - hat
	if e.prediction != predictV || hat == sigma {
		e.euler(dst, out, sample, hat, dt)
		return
	}
	// With noise added, diffusers converts v at the level before it.
	s2 := float32(sigma*sigma) + 1
	a := -sigma / sqrt32(s2)
	for j, x := range sample {
		d := (x - (float32(out[j]*a) + float32(x/s2))) / hat
		dst[j] = x + float32(d*dt)
	}
}
