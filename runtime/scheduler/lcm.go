package scheduler

import "math"

// lcm is the multistep consistency sampler of latent consistency models (arXiv:2310.04378, algorithm 3).
// It needs a model distilled for it (LCM, or an LCM LoRA).
var lcm = method{
	check: checkOriginalSteps,
	start: distilledStart(1, func(s *sched, timesteps []float64, v alphaSpace) solver {
		d := &lcmRun{alphaSpace: v}
		for _, t := range timesteps {
			const sigmaData = 0.5
			scaled := t * val(s.cfg.TimestepScaling)
			norm := scaled*scaled + sigmaData*sigmaData
			d.skip = append(d.skip, sigmaData*sigmaData/norm)
			d.out = append(d.out, scaled/math.Sqrt(norm))
		}
		return d
	}),
}

type lcmRun struct {
	alphaSpace
	skip, out []float64 // boundary conditions of the consistency function
	x0        []float32
}

func (d *lcmRun) reset(_, n int) { d.x0 = sized(d.x0, n) }

func (d *lcmRun) noisy(i int) bool { return i+2 < len(d.a) }

func (d *lcmRun) step(dst, out, sample, noise []float32, i int) {
	d.original(d.x0, out, sample, i)
	a := 1.0
	if noise != nil {
		a = math.Sqrt(d.a[i+1])
	}
	combine3(dst, a*d.out[i], d.x0, a*d.skip[i], sample, math.Sqrt(1-d.a[i+1]), noise)
}
