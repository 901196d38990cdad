package scheduler

// kdpm2Discrete is the second-order method of k-diffusion's sample_dpm_2 (arXiv:2206.00364): an Euler step to
// the geometric middle of the two levels, then the whole step with the slope found there.
var kdpm2Discrete = &algorithm{
	name:     "KDPM2DiscreteScheduler",
	summary:  "DPM-Solver-2 in Karras' form; two evaluations a step",
	order:    2,
	defaults: kdpm2Defaults,
	optional: []string{"trained_betas"},
	values:   commonValues(nil),
	start: func(s *sched, o *RunOptions) (*plan, solver, error) {
		timesteps, sigmas, err := s.kdpm2Schedule(o)
		if err != nil {
			return nil, nil, err
		}
		mids := make([]float64, len(timesteps)-1)
		for k := range mids {
			mids[k] = geometricMean(sigmas[k], sigmas[k+1])
		}
		p := secondOrderPlan(timesteps, sigmasToTs(mids, s.logSigmas), sigmas, mids)
		p.initNoiseSigma = veInitNoiseSigma(&s.cfg, narrow(sigmas))
		return p, &kdpm2{veSpace: veSpace{narrow(p.sigmas), predictionOf(&s.cfg)}}, nil
	},
}

var kdpm2Defaults = Config{
	NumTrainTimesteps: new(1000), BetaStart: new(0.00085), BetaEnd: new(0.012), BetaSchedule: "linear",
	UseKarrasSigmas: new(false), UseExponentialSigmas: new(false), UseBetaSigmas: new(false),
	PredictionType: "epsilon", TimestepSpacing: "linspace", StepsOffset: new(0),
}

// kdpm2Schedule is veSchedule, with whole timesteps for Karras' spacing.
func (s *sched) kdpm2Schedule(o *RunOptions) (timesteps, sigmas []float64, err error) {
	timesteps, sigmas, err = s.veSchedule(o)
	if err == nil && val(s.cfg.UseKarrasSigmas) {
		roundEven(timesteps)
	}
	return timesteps, sigmas, err
}

// geometricMean is exp((log a + log b) / 2), rounded to float32 where diffusers does.
func geometricMean(a, b float64) float64 {
	la, lb := log32(float32(a)), log32(float32(b))
	return float64(exp32(lb - float32((lb-la)*0.5)))
}

type kdpm2 struct {
	veSpace
	kept []float32
}

func (k *kdpm2) reset(_, n int) { k.kept = sized(k.kept, n) }

func (k *kdpm2) noisy(int) bool { return false }

func (k *kdpm2) step(dst, out, sample, _ []float32, i int) {
	sigma := k.sigmas[i]
	if i%2 == 0 {
		copy(k.kept, sample)
		k.euler(dst, out, sample, sigma, k.sigmas[i+1]-sigma)
		return
	}
	k.fromKept(dst, out, sample, i, k.sigmas[i+1]-k.sigmas[i-1])
}

// fromKept makes a step of length dt from the sample that the step began with, with the slope at the middle.
func (k *kdpm2) fromKept(dst, out, sample []float32, i int, dt float32) {
	mid := k.sigmas[i]
	s2 := float32(mid*mid) + 1
	a := -mid / sqrt32(s2)
	for j, x := range sample {
		var x0 float32
		switch k.prediction {
		case predictEpsilon:
			x0 = x - float32(mid*out[j])
		case predictV:
			x0 = float32(out[j]*a) + float32(x/s2)
		case predictSample:
			x0 = out[j]
		}
		dst[j] = k.kept[j] + float32((x-x0)/mid*dt)
	}
}
