package scheduler

// eulerDiscrete is Euler's method in the variance-exploding frame (arXiv:2206.00364, algorithm 2, without the
// second-order correction).
var eulerDiscrete = method{
	continuous: func(c *Config) bool { return c.TimestepType == "continuous" && c.PredictionType == "v_prediction" },
	start:      startEuler,
}

// startEuler is set_timesteps of EulerDiscreteScheduler.
func startEuler(s *sched, o *RunOptions) (*plan, solver, error) {
	c := &s.cfg
	continuous := s.algo.continuous(c)
	if continuous && o.Timesteps != nil {
		return nil, nil, s.algo.bad("timesteps", "given together with timestep_type continuous and v_prediction",
			"give sigmas or num_inference_steps")
	}
	timesteps, sigmas, err := s.veSchedule(o)
	if err != nil {
		return nil, nil, err
	}
	e := &euler{veSpace: newVESpace(c, sigmas), churn: newChurn(c, len(sigmas)-1)}
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

func (e *euler) noisy(i int) bool { return e.gamma(e.sigmas[i]) > 0 }

func (e *euler) step(dst, out, sample, noise []float32, i int) {
	sigma := e.sigmas[i]
	hat := sigma
	if noise != nil {
		hat = e.add(dst, sample, noise, sigma)
		sample = dst
	}
	from := hat
	if e.prediction == predictV { // with noise added, diffusers converts v at the level before it
		from = sigma
	}
	e.euler(dst, out, sample, from, hat, e.sigmas[i+1]-hat)
}
