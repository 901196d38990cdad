package scheduler

import (
	"math"
	"slices"
)

// vpSpace is what the DPM-Solver family shares: samples are alpha*x0 + sigma*noise with alpha^2 + sigma^2 = 1, or
// alpha + sigma = 1 for flow-matching models, and a step is written in half log-SNRs lambda = log(alpha/sigma).
// Indices are those of the schedule: one per evaluation and one after the last.
type vpSpace struct {
	frame
	lambda []float64
}

// newVPSpace takes noise levels in the variance-exploding sense, sigma/alpha, or, with use_flow_sigmas, those of
// the flow, sigma.
func newVPSpace(c *Config, sigmas []float64, batch int) vpSpace {
	v := vpSpace{frame: newFrame(c, batch)}
	for _, s := range sigmas {
		if val(c.UseFlowSigmas) {
			v.add(1-s, s)
			v.lambda = append(v.lambda, math.Log1p(-s)-math.Log(s))
			continue
		}
		alpha := 1 / math.Sqrt(s*s+1)
		v.add(alpha, s*alpha)
		v.lambda = append(v.lambda, -math.Log(s)) // +Inf at level 0
	}
	return v
}

// remember adds to the predictions what a solver interpolates: x0 or the noise. With a limiter it is the noise that leads to the bounded
// x0.
func (v *vpSpace) remember(h *history, out, sample []float32, i int, x0 bool) {
	dst := h.push()
	a, s := v.alpha[i], v.sigma[i]
	switch {
	case x0:
		v.original(dst, out, sample, i)
	case v.limit.active() || v.prediction == predictSample || v.prediction == predictFlow:
		v.original(dst, out, sample, i)
		h.combine2(1/s, sample, -a/s, dst)
	case v.prediction == predictV:
		h.combine2(a, out, s, sample)
	default:
		v.prediction.epsilon(dst, out, sample, a, s)
	}
}

// steep tells whether some level is so noisy that a noise in float32 is not exact enough. A step from there multiplies the rounding error
// by 1/alpha. Beyond 2^10 a picture keeps less than 14 of 24 bits. SDXL's own schedule ends at 2^4.
func (v *vpSpace) steep() bool {
	return slices.ContainsFunc(v.alpha, func(a float64) bool { return a < 1.0/(1<<10) })
}

// stepLength is the length of the step from level i, in half log-SNR.
func (v *vpSpace) stepLength(i int) float64 { return v.lambda[i+1] - v.lambda[i] }

// usable returns how many of the order-1 earlier levels before i a multistep formula can use: levels that
// follow each other without a difference (custom or rounded timesteps may repeat) would be divided by.
func (v *vpSpace) usable(i, order int) int {
	n := 1
	for n < order && v.lambda[i-n+1] != v.lambda[i-n] {
		n++
	}
	return n
}

// finalLevel says what the level after the last step is.
type finalLevel int

const (
	finalTrained  finalLevel = iota // that of training timestep 0, or 0: as final_sigmas_type says
	finalRepeated                   // as finalTrained, but the last level of a spacing of its own again instead of timestep 0's
	finalNonzero                    // as finalRepeated for solvers that never reach 0
)

// finalSigma returns the level after the last step: 0, or that of training timestep 0.
func (s *sched) finalSigma(final finalLevel) float64 {
	if s.cfg.FinalSigmasType == "sigma_min" || final == finalNonzero {
		return float64(s.sigmas[0])
	}
	return 0
}

// withFinal appends the level after the last step to levels of a spacing of its own.
func (s *sched) withFinal(sigmas []float64, final finalLevel) []float64 {
	last := s.finalSigma(final)
	if final != finalTrained && last != 0 {
		last = sigmas[len(sigmas)-1]
	}
	return round32(append(sigmas, last))
}

// vpStart begins runs of solvers in this frame.
func vpStart(final finalLevel, solve func(s *sched, o *RunOptions, timesteps []float64, v vpSpace) (solver, error)) starter {
	return func(s *sched, o *RunOptions) (*plan, solver, error) {
		timesteps, sigmas, err := s.vpSchedule(o, final)
		if err != nil {
			return nil, nil, err
		}
		solver, err := solve(s, o, timesteps, newVPSpace(&s.cfg, sigmas, o.BatchSize))
		return s.vpPlan(timesteps, sigmas), solver, err
	}
}

// vpSchedule computes timesteps and noise levels as the DPM-Solver family does. They differ from veSchedule:
// the default spacings make one timestep more and leave out the last, timesteps are whole, and the other
// spacings span all of training's levels.
func (s *sched) vpSchedule(o *RunOptions, final finalLevel) (timesteps, sigmas []float64, err error) {
	c := &s.cfg
	n := o.NumInferenceSteps
	if o.Timesteps != nil {
		if err := s.refuseBesideTimesteps(append([]string{"use_flow_sigmas"}, spacings...)...); err != nil {
			return nil, nil, err
		}
		n = len(o.Timesteps)
		timesteps = truncate(append([]float64(nil), o.Timesteps...))
	} else {
		timesteps = s.vpTimesteps(n)
	}
	if val(c.UseFlowSigmas) {
		return s.flowSchedule(n, final)
	}
	spaced, ok := spacedSigmas(c, s.trainedSpan(), n)
	if !ok && val(c.UseLuLambdas) {
		// Half log-SNRs are evenly spaced (arXiv:2206.00927, section 3.4), from high to low noise.
		spaced, ok = exponentialSigmas(s.logSigmas[len(s.logSigmas)-1], s.logSigmas[0], n), true
	}
	if !ok {
		return timesteps, round32(append(s.levelsAt(timesteps), s.finalSigma(final))), nil
	}
	timesteps = sigmasToTs(spaced, s.logSigmas)
	if s.algo.roundsSpaced(c) {
		roundEven(timesteps)
	}
	return truncate(timesteps), s.withFinal(spaced, final), nil
}

// roundsSpaced tells whether timesteps of replaced noise levels are rounded before their fractions are dropped:
// diffusers does so for Karras' and Lu's spacing.
func (a *algorithm) roundsSpaced(c *Config) bool {
	if a.KeepsCosine && c.BetaSchedule == "squaredcos_cap_v2" {
		return false
	}
	return val(c.UseKarrasSigmas) || val(c.UseLuLambdas)
}

// vpTimesteps returns n whole timesteps of the default spacings.
func (s *sched) vpTimesteps(n int) []float64 {
	c := &s.cfg
	train := val(c.NumTrainTimesteps)
	last := train - s.clippedLambdas()
	spacing := c.TimestepSpacing
	if spacing == "leading" && last/(n+1) == 0 {
		spacing = "linspace" // every timestep would be the same
	}
	switch spacing {
	case "leading":
		ratio := last / (n + 1)
		return leadingTimesteps(ratio, n+1, val(c.StepsOffset), train)[:n]
	case "trailing":
		return trailingTimesteps(last, train, n)
	default:
		out := linspace(0, float64(last-1), n+1)
		slices.Reverse(out)
		return roundEven(out)[:n]
	}
}

// clippedLambdas counts the timesteps at the noisy end whose half log-SNR is below lambda_min_clipped.
func (s *sched) clippedLambdas() int {
	limit := -math.Inf(1)
	if s.cfg.LambdaMinClipped != nil {
		limit = *s.cfg.LambdaMinClipped
	}
	n := 0
	for i := len(s.alphasCumprod) - 1; i > 1; i-- {
		a := s.alphasCumprod[i]
		if float64(log32(sqrt32(a))-log32(sqrt32(1-a))) >= limit {
			break
		}
		n++
	}
	return n
}

// vpPlan makes the plan of a scheduler in this frame.
func (s *sched) vpPlan(timesteps, sigmas []float64) *plan {
	p := &plan{timesteps: timesteps, sigmas: sigmas, inferenceSteps: len(timesteps), initNoiseSigma: 1, learned: s.cfg.learns()}
	if val(s.cfg.UseFlowSigmas) {
		p.sigmas = each(slices.Clone(sigmas), func(v float64) float64 { return v / (1 - v) })
	}
	return p
}
