package scheduler

import (
	"fmt"
	"math"
)

// tables are the noise levels of training, one entry per training timestep. A scheduler computes them once, in
// float32 as diffusers does. Cumulative products use float64, as torch does.
type tables struct {
	alphasCumprod []float32 // products of 1 - betas
	sigmas        []float32 // sqrt((1-a)/a), ascending
	logSigmas     []float64 // log(sigmas), rounded to float32
}

// zeroSNRFloor is what diffusers' sigma-space schedulers put in place of alphas_cumprod = 0 at the last
// timestep, so that its sigma is finite: 2^-24, the smallest subnormal of float16.
const zeroSNRFloor = 1.0 / (1 << 24)

// newTables computes the tables of a resolved config. floorZeroSNR applies zeroSNRFloor when the
// betas are rescaled.
func newTables(c *Config, floorZeroSNR bool) (*tables, error) {
	betas, err := trainBetas(c)
	if err != nil {
		return nil, err
	}
	rescaled := val(c.RescaleBetasZeroSNR)
	if rescaled {
		betas = rescaleZeroTerminalSNR(betas)
	}
	t := &tables{alphasCumprod: cumprod(betas)}
	if rescaled && floorZeroSNR {
		t.alphasCumprod[len(betas)-1] = zeroSNRFloor
	}
	t.sigmas = make([]float32, len(betas))
	t.logSigmas = make([]float64, len(betas))
	for i, a := range t.alphasCumprod {
		t.sigmas[i] = sqrt32((1 - a) / a)
		t.logSigmas[i] = float64(log32(t.sigmas[i]))
	}
	return t, nil
}

// trainBetas returns the variances of the forward process.
func trainBetas(c *Config) ([]float32, error) {
	if c.TrainedBetas != nil {
		return narrow(c.TrainedBetas), nil
	}
	n, lo, hi := val(c.NumTrainTimesteps), val(c.BetaStart), val(c.BetaEnd)
	switch c.BetaSchedule {
	case "linear":
		return linspace32(float32(lo), float32(hi), n), nil
	case "scaled_linear":
		roots := linspace32(float32(math.Sqrt(lo)), float32(math.Sqrt(hi)), n)
		return each(roots, func(v float32) float32 { return v * v }), nil
	case "squaredcos_cap_v2":
		return betasForAlphaBar(n, alphaBarCosine), nil
	case "exp":
		return betasForAlphaBar(n, alphaBarExp), nil
	case "laplace":
		return betasForAlphaBar(n, alphaBarLaplace), nil
	case "sigmoid": // GeoDiff
		return each(linspace32(-6, 6, n), func(v float32) float32 {
			s := float32(1 / (1 + math.Exp(-float64(v))))
			return float32(s*float32(hi-lo)) + float32(lo)
		}), nil
	}
	return nil, fmt.Errorf("scheduler: beta_schedule %q is unknown", c.BetaSchedule)
}

func alphaBarCosine(t float64) float64 {
	c := math.Cos((t + 0.008) / 1.008 * math.Pi / 2)
	return c * c
}

func alphaBarExp(t float64) float64 { return math.Exp(-12 * t) }

func alphaBarLaplace(t float64) float64 {
	l := -0.5 * math.Copysign(1, 0.5-t) * math.Log(1-2*math.Abs(0.5-t)+1e-6)
	snr := math.Exp(l)
	return math.Sqrt(snr / (1 + snr))
}

// betasForAlphaBar makes betas of a cumulative product given as a function of t in [0, 1], capped at
// 0.999 (arXiv:2102.09672, section 3.2).
func betasForAlphaBar(n int, alphaBar func(float64) float64) []float32 {
	b := make([]float32, n)
	for i := range b {
		t1, t2 := float64(i)/float64(n), float64(i+1)/float64(n)
		b[i] = float32(math.Min(1-alphaBar(t2)/alphaBar(t1), 0.999))
	}
	return b
}

// rescaleZeroTerminalSNR shifts and scales the square roots of alphas_cumprod so that the last is 0 and the
// first unchanged (arXiv:2305.08891, algorithm 1).
func rescaleZeroTerminalSNR(betas []float32) []float32 {
	bar := each(cumprod(betas), sqrt32)
	first, last := bar[0], bar[len(bar)-1]
	factor := first / (first - last)
	each(bar, func(a float32) float32 {
		s := float32(a-last) * factor
		return s * s
	})
	out := make([]float32, len(betas))
	out[0] = 1 - bar[0]
	for i := 1; i < len(bar); i++ {
		out[i] = 1 - float32(bar[i]/bar[i-1])
	}
	return out
}

// cumprod returns running products of 1 - betas, accumulated in float64.
func cumprod(betas []float32) []float32 {
	out := make([]float32, len(betas))
	p := 1.0
	for i, b := range betas {
		p *= float64(1 - b)
		out[i] = float32(p)
	}
	return out
}
