package scheduler

import (
	"math"
	"slices"
	"sort"
)

// karrasRho is the exponent of the spacing in arXiv:2206.00364, equation 5.
const karrasRho = 7.0

// karrasSigmas spaces n noise levels from hi down to lo evenly in sigma^(1/rho).
func karrasSigmas(lo, hi, rho float64, n int) []float64 {
	a, b := math.Pow(hi, 1/rho), math.Pow(lo, 1/rho)
	return each(linspace(0, 1, n), func(r float64) float64 { return math.Pow(a+float64(r*(b-a)), rho) })
}

// exponentialSigmas spaces n noise levels evenly between two logarithms of levels.
func exponentialSigmas(from, to float64, n int) []float64 {
	return each(linspace(from, to, n), math.Exp)
}

// betaSigmas spaces n noise levels from hi down to lo by the quantiles of the Beta(0.6, 0.6)
// distribution (arXiv:2407.12173).
func betaSigmas(lo, hi float64, n int) []float64 {
	return each(linspace(0, 1, n), func(r float64) float64 { return lo + float64(betaQuantile(1-r, 0.6, 0.6)*(hi-lo)) })
}

// spacedSigmas replaces in (descending) by the spacing that the config asks for, and reports
// whether it did. sigma_min and sigma_max override the ends of in.
func spacedSigmas(c *Config, in []float64, n int) ([]float64, bool) {
	lo, hi := in[len(in)-1], in[0]
	if c.SigmaMin != nil {
		lo = *c.SigmaMin
	}
	if c.SigmaMax != nil {
		hi = *c.SigmaMax
	}
	switch {
	case val(c.UseKarrasSigmas):
		return karrasSigmas(lo, hi, karrasRho, n), true
	case val(c.UseExponentialSigmas):
		return exponentialSigmas(math.Log(hi), math.Log(lo), n), true
	case val(c.UseBetaSigmas):
		return betaSigmas(lo, hi, n), true
	}
	return in, false
}

// sigmaToT inverts the training noise levels: the (fractional) timestep whose log(sigma) this is, found
// by linear interpolation between the neighbours. logSigmas ascend.
func sigmaToT(sigma float64, logSigmas []float64) float64 {
	l := math.Log(math.Max(sigma, 1e-10))
	above := sort.Search(len(logSigmas), func(i int) bool { return !(logSigmas[i] <= l) })
	i := min(max(above-1, 0), len(logSigmas)-2)
	low, high := logSigmas[i], logSigmas[i+1]
	w := (low - l) / float64(float32(low-high))
	w = math.Min(math.Max(w, 0), 1)
	return float64((1-w)*float64(i)) + float64(w*float64(i+1))
}

// sigmasToTs applies sigmaToT to each value.
func sigmasToTs(sigmas, logSigmas []float64) []float64 {
	return each(slices.Clone(sigmas), func(s float64) float64 { return sigmaToT(s, logSigmas) })
}
