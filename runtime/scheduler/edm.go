package scheduler

import (
	"math"
	"slices"
)

// edmSpace is the frame of Karras et al.'s preconditioned models (arXiv:2206.00364, table 1): the model sees
// c_in*x and 0.25*log(sigma), and x0 = c_skip*x + c_out*output. SDXL-shaped models such as Playground v2.5 are
// trained so.
type edmSpace struct {
	sigmas []float32
	data   float64 // sigma_data
	v      bool    // v_prediction: the output's sign is the other
	limit  limiter
}

func newEDMSpace(c *Config, sigmas []float64, batch int) edmSpace {
	return edmSpace{sigmas: narrow(sigmas), data: val(c.SigmaData), v: c.PredictionType == "v_prediction",
		limit: newLimiter(c, batch)}
}

func (e *edmSpace) scale(dst, sample []float32, i int) {
	s := float64(e.sigmas[i])
	c := float32(1 / math.Sqrt(s*s+e.data*e.data))
	for j, x := range sample {
		dst[j] = x * c
	}
}

// weights returns c_skip and c_out at a noise level.
func (e *edmSpace) weights(sigma float64) (skip, out float64) {
	n := sigma*sigma + e.data*e.data
	skip, out = e.data*e.data/n, sigma*e.data/math.Sqrt(n)
	if e.v {
		out = -out
	}
	return skip, out
}

func (e *edmSpace) original(dst, out, sample []float32, i int) {
	skip, c := e.weights(float64(e.sigmas[i]))
	combine2(dst, skip, sample, c, out)
	e.limit.apply(dst)
}

func (e *edmSpace) addNoise(dst, original, noise []float32, i int) {
	combine2(dst, 1, original, float64(e.sigmas[i]), noise)
}

// edmPlan spaces n noise levels from sigma_max to sigma_min. single computes Karras' spacing in float32, as
// EDMDPMSolverMultistep does in diffusers; EDMEuler uses float64.
func (s *sched) edmPlan(n int, single bool) *plan {
	c := &s.cfg
	lo, hi, rho := val(c.SigmaMin), val(c.SigmaMax), val(c.Rho)
	var sigmas []float64
	switch {
	case c.SigmaSchedule == "exponential":
		for _, l := range linspace32(float32(math.Log(lo)), float32(math.Log(hi)), n) {
			sigmas = append(sigmas, float64(exp32(l)))
		}
		slices.Reverse(sigmas)
	case single:
		a, b := math.Pow(hi, 1/rho), math.Pow(lo, 1/rho)
		for _, r := range linspace32(0, 1, n) {
			base := float32(a) + float32(r*float32(b-a))
			sigmas = append(sigmas, math.Pow(float64(base), rho))
		}
	default:
		sigmas = karrasSigmas(lo, hi, rho, n)
	}
	round32(sigmas)
	p := &plan{inferenceSteps: n, initNoiseSigma: math.Sqrt(hi*hi + 1)}
	for _, v := range sigmas {
		p.timesteps = append(p.timesteps, float64(0.25*log32(float32(v))))
	}
	last := 0.0
	if c.FinalSigmasType == "sigma_min" {
		last = sigmas[n-1]
		if single {
			last = lo
		}
	}
	p.sigmas = round32(append(sigmas, last))
	return p
}

// edmEuler is Euler's method for preconditioned models (arXiv:2206.00364, algorithm 2).
var edmEuler = method{
	continuous: always, // timesteps are 0.25*log(sigma)
	start: func(s *sched, o *RunOptions) (*plan, solver, error) {
		p := s.edmPlan(o.NumInferenceSteps, false)
		e := &edmEulerRun{edmSpace: newEDMSpace(&s.cfg, p.sigmas, o.BatchSize), churn: newChurn(&s.cfg, len(p.sigmas)-1)}
		return p, e, nil
	},
}

type edmEulerRun struct {
	edmSpace
	churn
	x0 []float32
}

func (e *edmEulerRun) reset(_, n int) { e.x0 = sized(e.x0, n) }

func (e *edmEulerRun) noisy(i int) bool { return e.gamma(e.sigmas[i]) > 0 }

func (e *edmEulerRun) step(dst, out, sample, noise []float32, i int) {
	hat := e.sigmas[i]
	if noise != nil {
		hat = e.add(dst, sample, noise, e.sigmas[i])
		sample = dst
	}
	skip, c := e.weights(float64(hat))
	combine2(e.x0, skip, sample, c, out)
	slide(dst, sample, sample, e.x0, hat, e.sigmas[i+1]-hat)
}
