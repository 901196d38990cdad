package scheduler

import "math"

// ddim is denoising diffusion implicit models (arXiv:2010.02502, formulas 12 and 16).
var ddim = method{
	start: func(s *sched, o *RunOptions) (*plan, solver, error) {
		timesteps := s.discreteTimesteps(o)
		c := &s.cfg
		back := val(c.NumTrainTimesteps) / o.NumInferenceSteps
		d := &ddimRun{eta: val(c.Eta), clipped: val(c.UseClippedModelOutput)}
		for _, t := range timesteps {
			prev := s.finalAlpha()
			if p := int(t) - back; p >= 0 {
				prev = s.alphaAt(p)
			}
			d.prev = append(d.prev, prev)
		}
		d.alphaSpace = s.newAlphaSpace(timesteps, d.prev[len(d.prev)-1], o.BatchSize)
		p, err := s.alphaPlan(timesteps, &d.alphaSpace)
		return p, d, err
	},
}

type ddimRun struct {
	alphaSpace
	prev    []float64 // level that each step goes to
	eta     float64
	clipped bool // derive the noise from the limited x0
	x0, eps []float32
}

func (d *ddimRun) reset(_, n int) { d.x0, d.eps = sized(d.x0, n), sized(d.eps, n) }

func (d *ddimRun) noisy(int) bool { return d.eta > 0 }

func (d *ddimRun) step(dst, out, sample, noise []float32, i int) {
	a, prev := d.a[i], d.prev[i]
	d.original(d.x0, out, sample, i)
	if d.clipped {
		combine2(d.eps, 1/math.Sqrt(1-a), sample, -math.Sqrt(a/(1-a)), d.x0)
	} else {
		d.epsilon(d.eps, out, sample, i)
	}
	variance := (1 - prev) / (1 - a) * (1 - a/prev)
	std := d.eta * math.Sqrt(variance)
	direction := math.Sqrt(max(1-prev-std*std, 0))
	combine3(dst, math.Sqrt(prev), d.x0, direction, d.eps, std, noise)
}
