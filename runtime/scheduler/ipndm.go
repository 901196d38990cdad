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
		d := &ipndmRun{slopes: newHistory(4)}
		if trained := s.cfg.TrainedBetas; trained != nil {
			if len(trained) != n+1 {
				return nil, nil, s.algo.bad("trained_betas", "a list of "+strconv.Itoa(len(trained)),
					"this scheduler needs one more than num_inference_steps ("+strconv.Itoa(n)+")")
			}
			d.sigma = narrow(trained)
		} else {
			for _, x := range append(linspace32(1, 0, n+1)[:n], 0) {
				sin := float32(math.Sin(float64(float32(x*math.Pi) / 2)))
				d.sigma = append(d.sigma, sin*sin)
			}
		}
		p := &plan{inferenceSteps: n, initNoiseSigma: 1}
		for i, b := range d.sigma {
			d.alpha = append(d.alpha, sqrt32(1-float32(b*b)))
			p.sigmas = append(p.sigmas, float64(b)/float64(d.alpha[i]))
			if i < n {
				p.timesteps = append(p.timesteps, math.Atan2(float64(b), float64(d.alpha[i]))/math.Pi*2)
			}
		}
		round32(p.timesteps)
		return p, d, nil
	},
}

type ipndmRun struct {
	quiet
	alpha, sigma []float32
	slopes       history
}

func (d *ipndmRun) reset(_, n int) { d.slopes.reset(n) }

func (d *ipndmRun) scale(dst, sample []float32, _ int) { copy(dst, sample) }

func (d *ipndmRun) original(dst, out, sample []float32, i int) {
	combine2(dst, float64(d.alpha[i]), sample, -float64(d.sigma[i]), out)
}

func (d *ipndmRun) addNoise(dst, original, noise []float32, i int) {
	combine2(dst, float64(d.alpha[i]), original, float64(d.sigma[i]), noise)
}

func (d *ipndmRun) step(dst, out, sample, _ []float32, i int) {
	a, s := d.alpha[i], d.sigma[i]
	e := d.slopes.push()
	for j, x := range sample {
		e[j] = float32(x*s) + float32(out[j]*a)
	}
	h := &d.slopes
	order := min(h.n, len(adamsBashforth))
	w := adamsBashforth[order-1]
	na, ns := float64(d.alpha[i+1]), float64(d.sigma[i+1])
	divisor := math.Max(float64(a), 1e-8)
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
