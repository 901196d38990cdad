package scheduler

import (
	"fmt"
	"math"
)

// window cuts the schedule as diffusers' SDXL pipelines do: Strength or DenoisingStart from the front
// (get_timesteps of the image-to-image pipeline), then DenoisingEnd from the back. It returns the first
// evaluation and the one after the last.
func (s *sched) window(p *plan, o *RunOptions) (begin, end int, err error) {
	end = len(p.timesteps)
	if (o.DenoisingStart > 0 || o.DenoisingEnd > 0) && s.algo.continuous != nil && s.algo.continuous(&s.cfg) {
		return 0, 0, s.algo.bad("denoising_start/denoising_end", "set",
			"this scheduler's timesteps are no training timesteps, so the schedule cannot be split by them: leave it out")
	}
	switch {
	case o.DenoisingStart > 0:
		begin = end - s.countFrom(p, o.DenoisingStart)
	case o.Strength > 0:
		keep := min(int(float64(p.inferenceSteps)*o.Strength), p.inferenceSteps)
		begin = end
		if keep > 0 {
			begin = min((p.inferenceSteps-keep)*max(s.algo.Order, 1), end)
		}
	}
	if o.DenoisingEnd > 0 {
		cutoff := s.cutoff(o.DenoisingEnd)
		end = begin + count(p.timesteps[begin:], func(t float64) bool { return t >= cutoff })
	}
	if begin >= end {
		return 0, 0, s.algo.bad("num_inference_steps", fmt.Sprintf("%d with strength %g, denoising_start %g, denoising_end %g",
			p.inferenceSteps, o.Strength, o.DenoisingStart, o.DenoisingEnd), "no step is left: ask for more steps")
	}
	return begin, end, nil
}

// cutoff is the timestep at a fraction of the schedule, in whole training timesteps.
func (s *sched) cutoff(fraction float64) float64 {
	n := float64(val(s.cfg.NumTrainTimesteps))
	return math.RoundToEven(n - float64(fraction*n))
}

// countFrom counts the evaluations that DenoisingStart leaves. For schedulers with two evaluations a
// step, whose first step has one entry at the highest timestep, an even count would begin in the
// middle of a step; one more is taken then.
func (s *sched) countFrom(p *plan, fraction float64) int {
	cutoff := s.cutoff(fraction)
	n := count(p.timesteps, func(t float64) bool { return t < cutoff })
	if s.algo.Order == 2 && n%2 == 0 {
		n++
	}
	return min(n, len(p.timesteps))
}

func count(timesteps []float64, which func(float64) bool) (n int) {
	for _, t := range timesteps {
		if which(t) {
			n++
		}
	}
	return n
}
