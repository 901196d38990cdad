package scheduler

import "math"

// tcd is trajectory consistency distillation's strategic stochastic sampling (arXiv:2402.19159, algorithm
// 4). It needs a model distilled for it. eta is the paper's gamma: 0 deterministic, 1 as LCM.
var tcd = method{
	check: checkOriginalSteps,
	start: distilledStart(0, func(s *sched, timesteps []float64, v alphaSpace) solver {
		d := &tcdRun{alphaSpace: v, eta: val(s.cfg.Eta)}
		d.limit = limiter{} // diffusers has the options, but does not apply them
		for i := range timesteps {
			prev := 0.0
			if i+1 < len(timesteps) {
				prev = timesteps[i+1]
			}
			// diffusers multiplies in float32 before taking the floor
			at := math.Floor(float64(float32(1-d.eta) * float32(prev)))
			d.s = append(d.s, s.alphaAt(int(at)))
		}
		return d
	}),
}

type tcdRun struct {
	alphaSpace
	s       []float64 // level that each step goes down to before noise is added
	eta     float64
	x0, eps []float32
}

func (d *tcdRun) reset(_, n int) { d.x0, d.eps = sized(d.x0, n), sized(d.eps, n) }

func (d *tcdRun) noisy(i int) bool { return d.eta > 0 && i+2 < len(d.a) }

func (d *tcdRun) step(dst, out, sample, noise []float32, i int) {
	d.original(d.x0, out, sample, i)
	d.epsilon(d.eps, out, sample, i)
	s := d.s[i]
	up := 1.0
	if noise != nil {
		up = d.a[i+1] / s
	}
	c := math.Sqrt(up)
	combine3(dst, c*math.Sqrt(s), d.x0, c*math.Sqrt(1-s), d.eps, math.Sqrt(max(1-up, 0)), noise)
}
