package scheduler

import "math"

// ddpm is the ancestral sampler of denoising diffusion probabilistic models (arXiv:2006.11239, formulas 6 and 7).
//
// variance_type fixed_large_log takes the root of a negative number in diffusers; it is refused.
var ddpm = method{
	start: func(s *sched, o *RunOptions) (*plan, solver, error) {
		timesteps := s.discreteTimesteps(o)
		d := &ddpmRun{alphaSpace: s.newAlphaSpace(timesteps, 1, o.BatchSize), variance: s.cfg.VarianceType}
		d.last = timesteps[len(timesteps)-1] == 0
		p, err := s.alphaPlan(timesteps, &d.alphaSpace)
		if err != nil {
			return nil, nil, err
		}
		p.learned = s.cfg.learns()
		return p, d, nil
	},
}

type ddpmRun struct {
	alphaSpace
	variance string // variance_type
	last     bool   // the last timestep is 0, where no noise is added
	x0       []float32
	learned  []float32 // the model's variance for the coming step
}

func (d *ddpmRun) takeVariance(v []float32) { d.learned = v }

func (d *ddpmRun) reset(_, n int) { d.x0 = sized(d.x0, n) }

func (d *ddpmRun) noisy(i int) bool { return !d.last || i+2 < len(d.a) }

func (d *ddpmRun) step(dst, out, sample, noise []float32, i int) {
	a, prev := d.a[i], d.a[i+1]
	d.original(d.x0, out, sample, i)
	alpha := a / prev
	beta := 1 - alpha
	cx0 := math.Sqrt(prev) * beta / (1 - a)
	cx := math.Sqrt(alpha) * (1 - prev) / (1 - a)
	variance := max((1-prev)/(1-a)*beta, 1e-20)
	switch d.variance {
	case "fixed_large":
		variance = beta
	case "learned":
		for j, z := range noise {
			noise[j] = z * sqrt32(d.learned[j])
		}
		variance = 1
	case "learned_range": // between the smallest and the largest, in logarithms (arXiv:2102.09672, equation 15)
		lo, hi := math.Log(variance), math.Log(beta)
		for j, z := range noise {
			f := (float64(d.learned[j]) + 1) / 2
			noise[j] = float32(float64(z) * math.Exp(0.5*(f*hi+(1-f)*lo)))
		}
		variance = 1
	}
	combine3(dst, cx0, d.x0, cx, sample, math.Sqrt(variance), noise)
}
