package scheduler

// heunDiscrete is Heun's second-order method (arXiv:2206.00364, algorithm 1): an Euler step, then a
// second evaluation at its end, and the step again with the mean of the two slopes. The last step, to noise
// level 0, is Euler's alone.
var heunDiscrete = method{start: secondOrderStart(
	func(_ *sched, timesteps, sigmas []float64) (mids, midSigmas []float64) {
		return timesteps[1:], sigmas[1:]
	},
	func(s *sched, o *RunOptions, v veSpace, _ *plan) solver {
		return &heun{veSpace: v, limit: newLimiter(&s.cfg, o.BatchSize)}
	})}

type heun struct {
	veSpace
	limit         limiter
	sample, slope []float32
}

func (h *heun) reset(begin, n int) {
	h.veSpace.reset(begin, n)
	h.sample, h.slope = sized(h.sample, n), sized(h.slope, n)
}

func (h *heun) original(dst, out, sample []float32, i int) {
	h.veSpace.original(dst, out, sample, i)
	h.limit.apply(dst)
}

func (h *heun) step(dst, out, sample, _ []float32, i int) {
	h.original(h.x0, out, sample, i)
	sigma := h.sigmas[i]
	if i%2 == 0 {
		dt := h.sigmas[i+1] - sigma
		copy(h.sample, sample)
		for j, x := range sample {
			d := (x - h.x0[j]) / sigma
			h.slope[j] = d
			dst[j] = x + float32(d*dt)
		}
		return
	}
	dt := sigma - h.sigmas[i-1]
	for j, x := range sample {
		d := (h.slope[j] + (x-h.x0[j])/sigma) / 2
		dst[j] = h.sample[j] + float32(d*dt)
	}
}
