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
var dpmSolverSDE = &algorithm{
	name:    "DPMSolverSDEScheduler",
	summary: "stochastic DPM-Solver++ (DPM++ SDE); two evaluations a step",
	order:   2,
	defaults: Config{
		NumTrainTimesteps: new(1000), BetaStart: new(0.00085), BetaEnd: new(0.012), BetaSchedule: "linear",
		PredictionType: "epsilon", UseKarrasSigmas: new(false), UseExponentialSigmas: new(false), UseBetaSigmas: new(false),
		TimestepSpacing: "linspace", StepsOffset: new(0), SNoise: new(1.0),
	},
	optional:      []string{"trained_betas", "noise_sampler_seed"},
	values:        commonValues(nil),
	wideTimesteps: true,
	start: func(s *sched, o *RunOptions) (*plan, solver, error) {
		timesteps, sigmas, err := s.veSchedule(o)
		if err != nil {
			return nil, nil, err
		}
		mids := make([]float64, len(timesteps)-1)
		for k := range mids {
			mids[k] = math.Exp((math.Log(sigmas[k]) + math.Log(sigmas[k+1])) / 2)
		}
		p := secondOrderPlan(timesteps, sigmasToTs(mids, s.logSigmas), sigmas, mids)
		p.initNoiseSigma = veInitNoiseSigma(&s.cfg, narrow(sigmas))
		return p, &dpmSDE{veSpace: veSpace{narrow(p.sigmas), predictionOf(&s.cfg)}, levels: p.sigmas, noise: val(s.cfg.SNoise)}, nil
	},
}

type dpmSDE struct {
	veSpace
	levels              []float64
	noise               float64
	kept, x0, increment []float32
}

func (d *dpmSDE) reset(_, n int) {
	d.kept, d.x0, d.increment = sized(d.kept, n), sized(d.x0, n), sized(d.increment, n)
}

func (d *dpmSDE) noisy(i int) bool { return i+2 < len(d.levels) }

func (d *dpmSDE) step(dst, out, sample, noise []float32, i int) {
	if !d.noisy(i) { // the last step goes to level 0
		d.euler(dst, out, sample, d.sigmas[i], d.sigmas[i+1]-d.sigmas[i])
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
