package scheduler

// kdpm2AncestralDiscrete is KDPM2Discrete with ancestral sampling: the step goes down further than the next
// level, by way of the geometric middle, and adds fresh noise (k-diffusion's sample_dpm_2_ancestral).
var kdpm2AncestralDiscrete = &algorithm{
	name:     "KDPM2AncestralDiscreteScheduler",
	summary:  "DPM-Solver-2 in Karras' form with fresh noise in every step; two evaluations a step",
	order:    2,
	defaults: kdpm2Defaults,
	optional: []string{"trained_betas"},
	values:   commonValues(nil),
	start: func(s *sched, o *RunOptions) (*plan, solver, error) {
		timesteps, sigmas, err := s.kdpm2Schedule(o)
		if err != nil {
			return nil, nil, err
		}
		n := len(timesteps)
		k := &kdpm2Ancestral{up: make([]float32, n), down: make([]float32, n)}
		mids := make([]float64, n-1)
		for i := range n {
			k.up[i], k.down[i] = ancestral(float32(sigmas[i]), float32(sigmas[i+1]))
			if i < n-1 {
				mids[i] = geometricMean(sigmas[i], float64(k.down[i]))
			}
		}
		p := secondOrderPlan(timesteps, sigmasToTs(mids, s.logSigmas), sigmas, mids)
		p.initNoiseSigma = veInitNoiseSigma(&s.cfg, narrow(sigmas))
		k.veSpace = veSpace{narrow(p.sigmas), predictionOf(&s.cfg)}
		return p, k, nil
	},
}

type kdpm2Ancestral struct {
	kdpm2
	up, down []float32 // by step
}

func (k *kdpm2Ancestral) noisy(i int) bool { return i%2 == 1 }

func (k *kdpm2Ancestral) step(dst, out, sample, noise []float32, i int) {
	if i%2 == 0 {
		k.kdpm2.step(dst, out, sample, noise, i)
		return
	}
	k.fromKept(dst, out, sample, i, k.down[i/2]-k.sigmas[i-1])
	up := k.up[i/2]
	for j, z := range noise {
		dst[j] += float32(z * up)
	}
}
