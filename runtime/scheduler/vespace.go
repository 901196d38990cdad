package scheduler

// veSpace is what schedulers in the variance-exploding frame share: samples are x0 + sigma*noise, and the
// model's input is divided by sqrt(sigma^2+1).
type veSpace struct {
	quiet
	sigmas     []float32 // one per evaluation and one after the last
	prediction prediction
	x0         []float32
}

func (v *veSpace) reset(_, n int) { v.x0 = sized(v.x0, n) }

func newVESpace(c *Config, sigmas []float64) veSpace {
	return veSpace{sigmas: narrow(sigmas), prediction: predictionOf(c)}
}

func (v *veSpace) scale(dst, sample []float32, i int) {
	s := v.sigmas[i]
	d := sqrt32(float32(s*s) + 1)
	for j, x := range sample {
		dst[j] = x / d
	}
}

// original writes x0 for a model output at level i.
func (v *veSpace) original(dst, out, sample []float32, i int) {
	v.denoise(dst, out, sample, v.sigmas[i])
}

func (v *veSpace) denoise(dst, out, sample []float32, sigma float32) {
	dst, out = dst[:len(sample)], out[:len(sample)]
	switch v.prediction {
	case predictEpsilon:
		for j, x := range sample {
			dst[j] = x - float32(sigma*out[j])
		}
	case predictV:
		s2 := float32(sigma*sigma) + 1
		a := -sigma / sqrt32(s2)
		for j, x := range sample {
			dst[j] = float32(out[j]*a) + float32(x/s2)
		}
	case predictSample:
		copy(dst, out)
	}
}

// euler makes one step of Euler's method of length dt from sigma, with the model's output converted at level from.
func (v *veSpace) euler(dst, out, sample []float32, from, sigma, dt float32) {
	if v.prediction == predictEpsilon { // the common case, in one pass
		for j, x := range sample {
			d := (x - (x - float32(from*out[j]))) / sigma
			dst[j] = x + float32(d*dt)
		}
		return
	}
	v.denoise(v.x0, out, sample, from)
	slide(dst, sample, sample, v.x0, sigma, dt)
}

// slide moves base along the slope that a sample at sigma has, away from x0.
func slide(dst, base, sample, x0 []float32, sigma, dt float32) {
	dst, base, x0 = dst[:len(sample)], base[:len(sample)], x0[:len(sample)]
	for j, x := range sample {
		dst[j] = base[j] + float32((x-x0[j])/sigma*dt)
	}
}

func (v *veSpace) addNoise(dst, original, noise []float32, i int) {
	s := v.sigmas[i]
	for j, x := range original {
		dst[j] = x + float32(noise[j]*s)
	}
}

// veInitNoiseSigma is the standard deviation of the first sample: the highest noise level, or for the "leading"
// spacing, whose first level is lower than training's last, the root of its square plus 1.
func veInitNoiseSigma(c *Config, sigmas []float64) float64 {
	top := float32(sigmas[0])
	for _, s := range sigmas {
		top = max(top, float32(s))
	}
	if c.TimestepSpacing == "linspace" || c.TimestepSpacing == "trailing" {
		return float64(top)
	}
	return float64(sqrt32(float32(top*top) + 1))
}

// veStart begins runs of schedulers with one evaluation a step.
func veStart(solve func(c *Config, v veSpace) solver) starter {
	return func(s *sched, o *RunOptions) (*plan, solver, error) {
		timesteps, sigmas, err := s.veSchedule(o)
		if err != nil {
			return nil, nil, err
		}
		return s.vePlan(timesteps, sigmas), solve(&s.cfg, newVESpace(&s.cfg, sigmas)), nil
	}
}

// vePlan makes the plan of a scheduler with one evaluation a step.
func (s *sched) vePlan(timesteps, sigmas []float64) *plan {
	return &plan{timesteps: round32(timesteps), sigmas: sigmas, inferenceSteps: len(timesteps),
		initNoiseSigma: veInitNoiseSigma(&s.cfg, sigmas)}
}

// secondOrderStart begins runs of schedulers that evaluate the model a second time in every step but the
// last. middle returns the timesteps and the levels of these evaluations; solve gets the space of
// all evaluations.
func secondOrderStart(middle func(s *sched, timesteps, sigmas []float64) (mids, midSigmas []float64),
	solve func(s *sched, o *RunOptions, v veSpace, p *plan) solver) starter {
	return func(s *sched, o *RunOptions) (*plan, solver, error) {
		timesteps, sigmas, err := s.veSchedule(o)
		if err != nil {
			return nil, nil, err
		}
		mids, midSigmas := middle(s, timesteps, sigmas)
		n := len(timesteps)
		p := &plan{inferenceSteps: n, initNoiseSigma: veInitNoiseSigma(&s.cfg, sigmas)}
		for k := range n {
			p.add(timesteps[k], sigmas[k], k)
			if k < n-1 {
				p.add(mids[k], midSigmas[k], k)
			}
		}
		p.sigmas = append(p.sigmas, sigmas[n])
		round32(p.timesteps)
		return p, solve(s, o, newVESpace(&s.cfg, p.sigmas), p), nil
	}
}

// veSchedule computes the timesteps and noise levels (one more) of a run over training's levels: what
// set_timesteps of Euler, Heun, LMS and KDPM2 share. Levels are rounded to float32, timesteps are not.
func (s *sched) veSchedule(o *RunOptions) (timesteps, sigmas []float64, err error) {
	c := &s.cfg
	if o.Sigmas != nil {
		sigmas = round32(append([]float64(nil), o.Sigmas...))
		return sigmasToTs(sigmas[:len(sigmas)-1], s.logSigmas), sigmas, nil
	}
	n := o.NumInferenceSteps
	if o.Timesteps != nil {
		if err := s.refuseBesideTimesteps(spacings...); err != nil {
			return nil, nil, err
		}
		n = len(o.Timesteps)
		timesteps = append([]float64(nil), o.Timesteps...)
	} else {
		timesteps = spacedTimesteps(c, n)
	}
	if !s.algo.WideTimesteps {
		round32(timesteps)
	}
	if c.InterpolationType == "log_linear" {
		lo, hi := float32(s.logSigmas[len(s.logSigmas)-1]), float32(s.logSigmas[0])
		for _, l := range linspace32(lo, hi, n+1) {
			sigmas = append(sigmas, float64(exp32(l)))
		}
	} else {
		sigmas = s.levelsAt(timesteps)
	}
	if spaced, ok := spacedSigmas(c, sigmas, n); ok {
		sigmas = spaced
		timesteps = sigmasToTs(sigmas, s.logSigmas)
	}
	return timesteps, round32(append(sigmas, s.finalSigma(finalTrained))), nil
}

// refuseBesideTimesteps refuses custom timesteps where an option that replaces them is on.
func (s *sched) refuseBesideTimesteps(options ...string) error {
	if on := s.cfg.firstOn(options...); on != "" {
		return s.algo.bad("timesteps", "given together with "+on, "use one of the two")
	}
	return nil
}

// levelsAt interpolates training's noise levels at timesteps.
func (s *sched) levelsAt(timesteps []float64) []float64 {
	sigmas := make([]float64, len(timesteps), len(timesteps)+1)
	for i, t := range timesteps {
		sigmas[i] = interpAt(t, s.sigmas)
	}
	return sigmas
}
