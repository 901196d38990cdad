package scheduler

import "math"

// dpmSolverSDE is the stochastic second-order solver of k-diffusion's sample_dpmpp_sde (after
// arXiv:2211.01095): an ancestral step to the geometric middle, then one over the whole interval with
// the prediction found there.
//
// Its noise is the increment of one Brownian motion over sub-intervals of noise levels. diffusers takes
// it from torchsde's BrownianInterval, a tree of seeds that can be asked in any order. The solver asks for
// [sigma, mid] and then for [sigma, next] only, and [mid, next] has no part in later steps; so the increments are
// drawn here in order, one for each evaluation, from the NoiseSource, and the second is added to the first.
// The distribution is the same, the numbers for a seed are not, and noise_sampler_seed has no effect.
var dpmSolverSDE = method{start: secondOrderStart(
	func(s *sched, _, sigmas []float64) (mids, midSigmas []float64) {
		for k, sigma := range sigmas[:len(sigmas)-2] {
			midSigmas = append(midSigmas, math.Exp((math.Log(sigma)+math.Log(sigmas[k+1]))/2))
		}
		return sigmasToTs(midSigmas, s.logSigmas), midSigmas
	},
	func(s *sched, _ *RunOptions, v veSpace, p *plan) solver {
		return &dpmSDE{veSpace: v, levels: p.sigmas, noise: val(s.cfg.SNoise)}
	})}

type dpmSDE struct {
	veSpace
	levels          []float64
	noise           float64
	kept, increment []float32
}

func (d *dpmSDE) reset(begin, n int) {
	d.veSpace.reset(begin, n)
	d.kept, d.increment = sized(d.kept, n), sized(d.increment, n)
}

func (d *dpmSDE) noisy(i int) bool { return i+2 < len(d.levels) }

func (d *dpmSDE) step(dst, out, sample, noise []float32, i int) {
	if !d.noisy(i) { // the last step goes to level 0
		d.euler(dst, out, sample, d.sigmas[i], d.sigmas[i], d.sigmas[i+1]-d.sigmas[i])
		return
	}
	d.original(d.x0, out, sample, i)
	to := d.levels[i+1]
	if i%2 == 0 {
		copy(d.kept, sample)
		copy(d.increment, noise)
		d.move(dst, sample, noise, d.levels[i], to)
		return
	}
	from, mid := d.levels[i-1], d.levels[i]
	a, b := math.Sqrt((from-mid)/(from-to)), math.Sqrt((mid-to)/(from-to))
	combine2(noise, a, d.increment, b, noise)
	d.move(dst, d.kept, noise, from, to)
}

// move makes an ancestral step between two levels with the prediction d.x0.
func (d *dpmSDE) move(dst, x, noise []float32, from, to float64) {
	up := math.Min(to, math.Sqrt(to*to*(from*from-to*to)/(from*from)))
	down := math.Sqrt(to*to - up*up)
	// In log-levels t = -log(sigma): expm1(t_from - t_down) = down/from - 1.
	ratio := down / from
	combine3(dst, ratio, x, 1-ratio, d.x0, up*d.noise, noise)
}
