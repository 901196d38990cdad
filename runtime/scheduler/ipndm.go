package scheduler

import (
	"math"
	"strconv"
)

// ipndm is the improved pseudo linear multistep method without a Runge-Kutta beginning, over v-diffusion's
// cosine schedule (after crowsonkb/v-diffusion-pytorch).
//
// Its timesteps run from 1 to 0 and its model predicts v whatever prediction_type a config carries: it
// serves models trained that way, and an ordinary SDXL UNet is not one of them.
var ipndm = method{
	continuous: always,
	start: func(s *sched, o *RunOptions) (*plan, solver, error) {
		n := o.NumInferenceSteps
		d := &ipndmRun{frame: frame{prediction: predictV}, slopes: newHistory(4)}
		var sigmas []float32
		if trained := s.cfg.TrainedBetas; trained != nil {
			if len(trained) != n+1 {
				return nil, nil, s.algo.bad("trained_betas", "a list of "+strconv.Itoa(len(trained)),
					"this scheduler needs one more than num_inference_steps ("+strconv.Itoa(n)+")")
			}
			sigmas = narrow(trained)
		} else {
			for _, x := range append(linspace32(1, 0, n+1)[:n], 0) {
				sin := float32(math.Sin(float64(float32(x*math.Pi) / 2)))
				sigmas = append(sigmas, sin*sin)
			}
		}
		p := &plan{inferenceSteps: n, initNoiseSigma: 1}
		for i, b := range sigmas {
			d.add(float64(sqrt32(1-float32(b*b))), float64(b))
			p.sigmas = append(p.sigmas, d.sigma[i]/d.alpha[i])
			if i < n {
				p.timesteps = append(p.timesteps, math.Atan2(d.sigma[i], d.alpha[i])/math.Pi*2)
			}
		}
		round32(p.timesteps)
		return p, d, nil
	},
}

type ipndmRun struct {
	frame
	slopes history
}

func (d *ipndmRun) reset(_, n int) { d.slopes.reset(n) }

func (d *ipndmRun) step(dst, out, sample, _ []float32, i int) {
	a, s := float32(d.alpha[i]), float32(d.sigma[i])
	e := d.slopes.push()
	for j, x := range sample {
		e[j] = float32(x*s) + float32(out[j]*a)
	}
	h := &d.slopes
	order := min(h.n, len(adamsBashforth))
	w := adamsBashforth[order-1]
	na, ns := d.alpha[i+1], d.sigma[i+1]
	divisor := math.Max(d.alpha[i], 1e-8)
	var slopes [len(adamsBashforth)][]float32
	var weights [len(adamsBashforth)]float32
	for k := range order {
		slopes[k], weights[k] = h.at(k)[:len(sample)], float32(w[k])
	}
	for j, x := range sample {
		slope := float32(0)
		for k := range order {
			slope += float32(weights[k] * slopes[k][j])
		}
		pred := float64(x-float32(s*slope)) / divisor
		dst[j] = float32(na*pred + ns*float64(slope))
	}
}

// adamsBashforth are the weights of the newest slopes, by order.
var adamsBashforth = [4][]float64{
	{1},
	{3.0 / 2, -1.0 / 2},
	{23.0 / 12, -16.0 / 12, 5.0 / 12},
	{55.0 / 24, -59.0 / 24, 37.0 / 24, -9.0 / 24},
}
