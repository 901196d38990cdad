package scheduler

// veSpace is what schedulers in the variance-exploding frame share: samples are x0 + sigma*noise, and the
// model's input is divided by sqrt(sigma^2+1).
type veSpace struct {
	sigmas     []float32 // one per evaluation and one after the last
	prediction prediction
}

// prediction is what the model predicts.
type prediction int

const (
	predictEpsilon prediction = iota
	predictV
	predictSample
	predictFlow // noise - x0, in the frame of vpSpace only
)

func predictionOf(c *Config) prediction {
	switch c.PredictionType {
	case "v_prediction":
		return predictV
	case "sample", "original_sample":
		return predictSample
	case "flow_prediction":
		return predictFlow
	}
	return predictEpsilon
}

func (v *veSpace) scale(dst, sample []float32, i int) {
	s := v.sigmas[i]
	d := sqrt32(float32(s*s) + 1)
	for j, x := range sample {
		dst[j] = x / d
	}
}

func (v *veSpace) original(dst, out, sample []float32, i int) {
	v.predict(dst, out, sample, v.sigmas[i], v.sigmas[i])
}

// predict writes x0 for a model output at sigma; for epsilon the noise is removed at hat, which differs
// where noise was added before the step.
func (v *veSpace) predict(dst, out, sample []float32, sigma, hat float32) {
	switch v.prediction {
	case predictEpsilon:
		for j, x := range sample {
			dst[j] = x - float32(hat*out[j])
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

// euler makes one step of Euler's method of length dt from sigma.
func (v *veSpace) euler(dst, out, sample []float32, sigma, dt float32) {
	switch v.prediction {
	case predictEpsilon:
		for j, x := range sample {
			d := (x - (x - float32(sigma*out[j]))) / sigma
			dst[j] = x + float32(d*dt)
		}
	case predictV:
		s2 := float32(sigma*sigma) + 1
		a := -sigma / sqrt32(s2)
		for j, x := range sample {
			d := (x - (float32(out[j]*a) + float32(x/s2))) / sigma
			dst[j] = x + float32(d*dt)
		}
	case predictSample:
		for j, x := range sample {
			dst[j] = x + float32((x-out[j])/sigma*dt)
		}
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
func veInitNoiseSigma(c *Config, sigmas []float32) float64 {
	top := sigmas[0]
	for _, s := range sigmas {
		top = max(top, s)
	}
	if c.TimestepSpacing == "linspace" || c.TimestepSpacing == "trailing" {
		return float64(top)
	}
	return float64(sqrt32(float32(top*top) + 1))
}

// vePlan makes the plan of a scheduler with one evaluation a step.
func (s *sched) vePlan(timesteps, sigmas []float64) *plan {
	n := len(timesteps)
	return &plan{timesteps: round32(timesteps), sigmas: sigmas[:n+1], inferenceSteps: n,
		initNoiseSigma: veInitNoiseSigma(&s.cfg, narrow(sigmas))}
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
		for _, name := range spacings {
			if on, _ := c.value(name).(bool); on {
				return nil, nil, s.algo.bad("timesteps", "given together with "+name, "use one of the two")
			}
		}
		n = len(o.Timesteps)
		timesteps = append([]float64(nil), o.Timesteps...)
	} else {
		timesteps = spacedTimesteps(c, n)
	}
	if !s.algo.wideTimesteps {
		round32(timesteps)
	}
	if c.InterpolationType == "log_linear" {
		lo, hi := float32(s.logSigmas[len(s.logSigmas)-1]), float32(s.logSigmas[0])
		for _, l := range linspace32(lo, hi, n+1) {
			sigmas = append(sigmas, float64(exp32(l)))
		}
	} else {
		for _, t := range timesteps {
			sigmas = append(sigmas, interpAt(t, s.sigmas))
		}
	}
	if spaced, ok := spacedSigmas(c, sigmas, n); ok {
		sigmas = spaced
		timesteps = sigmasToTs(sigmas, s.logSigmas)
	}
	return timesteps, round32(append(sigmas, s.finalSigma())), nil
}
