package scheduler

// heunDiscrete is Heun's second-order method (arXiv:2206.00364, algorithm 1): an Euler step, then a
// second evaluation at its end, and the step again with the mean of the two slopes. The last step, to noise
// level 0, is Euler's alone.
var heunDiscrete = &algorithm{
	name:    "HeunDiscreteScheduler",
	summary: "Heun's second-order method; two evaluations a step",
	order:   2,
	defaults: Config{
		NumTrainTimesteps: new(1000), BetaStart: new(0.00085), BetaEnd: new(0.012), BetaSchedule: "linear",
		PredictionType: "epsilon", UseKarrasSigmas: new(false), UseExponentialSigmas: new(false), UseBetaSigmas: new(false),
		ClipSample: new(false), ClipSampleRange: new(1.0), TimestepSpacing: "linspace", StepsOffset: new(0),
	},
	optional:        []string{"trained_betas"},
	values:          commonValues(map[string][]string{"beta_schedule": {"linear", "scaled_linear", "squaredcos_cap_v2", "exp"}}),
	customTimesteps: true,
	start: func(s *sched, o *RunOptions) (*plan, solver, error) {
		timesteps, sigmas, err := s.veSchedule(o)
		if err != nil {
			return nil, nil, err
		}
		p := secondOrderPlan(timesteps, timesteps[1:], sigmas, sigmas[1:])
		p.initNoiseSigma = veInitNoiseSigma(&s.cfg, narrow(sigmas))
		h := &heun{veSpace: veSpace{narrow(p.sigmas), predictionOf(&s.cfg)}, limit: newLimiter(&s.cfg, o.BatchSize)}
		return p, h, nil
	},
}

// secondOrderPlan interleaves n steps with n-1 second evaluations: the last step has one evaluation.
// mids are the timesteps of the second evaluations and midSigmas their noise levels.
func secondOrderPlan(timesteps, mids, sigmas, midSigmas []float64) *plan {
	n := len(timesteps)
	p := &plan{inferenceSteps: n}
	for k, t := range timesteps {
		p.timesteps = append(p.timesteps, t)
		p.sigmas = append(p.sigmas, sigmas[k])
		p.steps = append(p.steps, k)
		if k < n-1 {
			p.timesteps = append(p.timesteps, mids[k])
			p.sigmas = append(p.sigmas, midSigmas[k])
			p.steps = append(p.steps, k)
		}
	}
	p.sigmas = append(p.sigmas, sigmas[n])
	round32(p.timesteps)
	return p
}

type heun struct {
	veSpace
	limit             limiter
	sample, slope, x0 []float32
}

func (h *heun) reset(_, n int) {
	h.sample, h.slope, h.x0 = sized(h.sample, n), sized(h.slope, n), sized(h.x0, n)
}

func (h *heun) noisy(int) bool { return false }

func (h *heun) original(dst, out, sample []float32, i int) {
	h.veSpace.original(dst, out, sample, i)
	h.limit.apply(dst)
}

func (h *heun) step(dst, out, sample, _ []float32, i int) {
	h.original(h.x0, out, sample, i)
	sigma := h.sigmas[i]
	if i%2 == 0 {
		dt := h.sigmas[i+1] - sigma
		copy(h.sample, sample)
		for j, x := range sample {
			d := (x - h.x0[j]) / sigma
			h.slope[j] = d
			dst[j] = x + float32(d*dt)
		}
		return
	}
	dt := sigma - h.sigmas[i-1]
	for j, x := range sample {
		d := (h.slope[j] + (x-h.x0[j])/sigma) / 2
		dst[j] = h.sample[j] + float32(d*dt)
	}
}
