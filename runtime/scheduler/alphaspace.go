package scheduler

import (
	"fmt"
	"math"
)

// alphaSpace is what the schedulers over training's discrete levels share (DDIM, DDPM, PNDM, LCM, TCD): a sample
// is sqrt(a)*x0 + sqrt(1-a)*noise with a = alphas_cumprod of a whole timestep.
type alphaSpace struct {
	frame
	a []float64 // one per evaluation and one after the last
}

func (s *sched) newAlphaSpace(timesteps []float64, last float64, batch int) alphaSpace {
	v := alphaSpace{frame: newFrame(&s.cfg, batch)}
	for _, t := range timesteps {
		v.a = append(v.a, s.alphaAt(int(t)))
	}
	v.a = append(v.a, last)
	for _, a := range v.a {
		v.add(math.Sqrt(a), math.Sqrt(1-a))
	}
	return v
}

func (s *sched) alphaAt(t int) float64 { return float64(s.alphasCumprod[t]) }

// finalAlpha is the level after timestep 0: 1 (the picture without noise), or the level of timestep 0.
func (s *sched) finalAlpha() float64 {
	if s.cfg.SetAlphaToOne == nil || *s.cfg.SetAlphaToOne {
		return 1
	}
	return s.alphaAt(0)
}

// discreteTimesteps returns the whole timesteps of a run: custom ones, or n of a spacing.
func (s *sched) discreteTimesteps(o *RunOptions) []float64 {
	if o.Timesteps != nil {
		return truncate(append([]float64(nil), o.Timesteps...))
	}
	return roundEven(spacedTimesteps(&s.cfg, o.NumInferenceSteps))
}

// alphaPlan makes the plan. It refuses the prediction of noise at a level that is only noise: computing x0 would
// divide by 0.
func (s *sched) alphaPlan(timesteps []float64, v *alphaSpace) (*plan, error) {
	p := &plan{timesteps: timesteps, inferenceSteps: len(timesteps), initNoiseSigma: 1}
	for i, a := range v.a {
		if a == 0 && v.prediction == predictEpsilon && i < len(timesteps) {
			return nil, s.algo.bad("prediction_type", `"epsilon" with rescale_betas_zero_snr`, fmt.Sprintf(
				"timestep %g has no picture left to be predicted from noise: use v_prediction or sample", timesteps[i]))
		}
		p.sigmas = append(p.sigmas, math.Sqrt((1-a)/a))
	}
	return p, nil
}

// epsilon predicts the noise, without the limiter.
func (v *alphaSpace) epsilon(dst, out, sample []float32, i int) {
	a, s := v.alpha[i], v.sigma[i]
	if v.prediction == predictSample {
		combine2(dst, 1/s, sample, -a/s, out)
		return
	}
	v.prediction.epsilon(dst, out, sample, a, s)
}
