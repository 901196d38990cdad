package scheduler

import "math"

// ddpm is the ancestral sampler of denoising diffusion probabilistic models (arXiv:2006.11239, formulas 6 and 7).
//
// variance_type learned and learned_range need a model with twice the output channels, which SDXL's is
// not; fixed_large_log takes the root of a negative number in diffusers. They are refused.
var ddpm = &algorithm{
	name:    "DDPMScheduler",
	summary: "the original ancestral sampler; needs many steps",
	order:   1,
	defaults: Config{
		NumTrainTimesteps: new(1000), BetaStart: new(0.0001), BetaEnd: new(0.02), BetaSchedule: "linear",
		VarianceType: "fixed_small", ClipSample: new(true), PredictionType: "epsilon",
		Thresholding: new(false), DynamicThresholdingRatio: new(0.995), ClipSampleRange: new(1.0), SampleMaxValue: new(1.0),
		TimestepSpacing: "leading", StepsOffset: new(0), RescaleBetasZeroSNR: new(false),
	},
	optional: []string{"trained_betas"},
	values: commonValues(map[string][]string{
		"beta_schedule": {"linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace"},
		"variance_type": {"fixed_small", "fixed_small_log", "fixed_large"},
	}),
	customTimesteps: true,
	start: func(s *sched, o *RunOptions) (*plan, solver, error) {
		timesteps := s.discreteTimesteps(o)
		d := &ddpmRun{alphaSpace: s.newAlphaSpace(timesteps, 1, o.BatchSize), large: s.cfg.VarianceType == "fixed_large"}
		d.last = timesteps[len(timesteps)-1] == 0
		p, err := s.alphaPlan(timesteps, &d.alphaSpace)
		return p, d, err
	},
}

type ddpmRun struct {
	alphaSpace
	large bool // fixed_large
	last  bool // the last timestep is 0, where no noise is added
	x0    []float32
}

func (d *ddpmRun) reset(_, n int) { d.x0 = sized(d.x0, n) }

func (d *ddpmRun) noisy(i int) bool { return !d.last || i+2 < len(d.a) }

func (d *ddpmRun) step(dst, out, sample, noise []float32, i int) {
	a, prev := d.a[i], d.a[i+1]
	d.original(d.x0, out, sample, i)
	alpha := a / prev
	beta := 1 - alpha
	cx0 := math.Sqrt(prev) * beta / (1 - a)
	cx := math.Sqrt(alpha) * (1 - prev) / (1 - a)
	if noise == nil {
		combine2(dst, cx0, d.x0, cx, sample)
		return
	}
	variance := max((1-prev)/(1-a)*beta, 1e-20)
	if d.large {
		variance = beta
	}
	combine3(dst, cx0, d.x0, cx, sample, math.Sqrt(variance), noise)
}
