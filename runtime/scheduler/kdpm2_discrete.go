package scheduler

// kdpm2Discrete is the second-order method of k-diffusion's sample_dpm_2 (arXiv:2206.00364): an Euler step to
// the geometric middle of the two levels, then the whole step with the slope found there.
var kdpm2Discrete = method{start: kdpm2Start(false)}

// kdpm2AncestralDiscrete is KDPM2Discrete with ancestral sampling: the step goes down further than the next
// level, by way of the geometric middle, and adds fresh noise (k-diffusion's sample_dpm_2_ancestral).
var kdpm2AncestralDiscrete = method{start: kdpm2Start(true)}

func kdpm2Start(fresh bool) starter {
	// split returns, of a step, the noise that it adds and the level that it goes down to before.
	split := func(from, to float64) (up, down float32) {
		if fresh {
			return ancestral(float32(from), float32(to))
		}
		return 0, float32(to)
	}
	return secondOrderStart(
		func(s *sched, timesteps, sigmas []float64) (mids, midSigmas []float64) {
			if val(s.cfg.UseKarrasSigmas) {
				roundEven(timesteps)
			}
			for k := range timesteps[1:] {
				_, down := split(sigmas[k], sigmas[k+1])
				midSigmas = append(midSigmas, geometricMean(sigmas[k], float64(down)))
			}
			return sigmasToTs(midSigmas, s.logSigmas), midSigmas
		},
		func(_ *sched, _ *RunOptions, v veSpace, p *plan) solver {
			k := &kdpm2{veSpace: v, fresh: fresh}
			for i := 0; i+1 < len(p.sigmas); i += 2 {
				up, down := split(p.sigmas[i], p.sigmas[min(i+2, len(p.sigmas)-1)])
				k.up, k.down = append(k.up, up), append(k.down, down)
			}
			return k
		})
}

// geometricMean is exp((log a + log b) / 2), rounded to float32 where diffusers does.
func geometricMean(a, b float64) float64 {
	la, lb := log32(float32(a)), log32(float32(b))
	return float64(exp32(lb - float32((lb-la)*0.5)))
}

type kdpm2 struct {
	veSpace
	fresh    bool
	up, down []float32 // by step
	kept     []float32
}

func (k *kdpm2) reset(begin, n int) {
	k.veSpace.reset(begin, n)
	k.kept = sized(k.kept, n)
}

func (k *kdpm2) noisy(i int) bool { return k.fresh && i%2 == 1 }

func (k *kdpm2) step(dst, out, sample, noise []float32, i int) {
	sigma := k.sigmas[i]
	if i%2 == 0 {
		copy(k.kept, sample)
		k.euler(dst, out, sample, sigma, sigma, k.sigmas[i+1]-sigma)
		return
	}
	// The whole step from the sample kept, with the slope at the middle.
	k.original(k.x0, out, sample, i)
	slide(dst, k.kept, sample, k.x0, sigma, k.down[i/2]-k.sigmas[i-1])
	if noise != nil {
		addNoise32(dst, noise, k.up[i/2])
	}
}
