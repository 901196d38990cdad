package scheduler

import "math"

// dpmKind is the formula family of a DPM-Solver: which quantity is interpolated, and whether the
// differential equation is stochastic.
type dpmKind string

const (
	dpmPlusPlus    dpmKind = "dpmsolver++"     // x0, ordinary (arXiv:2211.01095)
	dpmNoise       dpmKind = "dpmsolver"       // noise, ordinary (arXiv:2206.00927)
	dpmSDEPlusPlus dpmKind = "sde-dpmsolver++" // x0, stochastic
	dpmSDENoise    dpmKind = "sde-dpmsolver"   // noise, stochastic
)

func (k dpmKind) stochastic() bool { return k == dpmSDEPlusPlus || k == dpmSDENoise }

// ofNoise tells whether the noise is interpolated, not x0.
func (k dpmKind) ofNoise() bool { return k == dpmNoise || k == dpmSDENoise }

// dpmStep holds the coefficients of one step of length h in half log-SNR, from level s to level t:
//
//	x_t = x*sample + d0*D0 + d1*D1 + d2*D2 + z*noise
//
// where D0 is the prediction at s and D1, D2 are its first and second differences, in units of h. The
// integrals of exp(lambda) times a polynomial that the formulas are made of are given by midpoint (D1
// enters with half of D0's weight) or exactly ("heun").
type dpmStep struct{ x, d0, d1, d2, z float64 }

// dpmCoefficients computes a step's coefficients. alphaS, sigmaS belong to the level the sample is at, alphaT,
// sigmaT to the one it goes to.
func dpmCoefficients(kind dpmKind, heun bool, h, alphaS, sigmaS, alphaT, sigmaT float64) dpmStep {
	switch kind {
	case dpmPlusPlus:
		e := math.Expm1(-h)
		c := dpmStep{x: sigmaT / sigmaS, d0: -alphaT * e, d1: -0.5 * alphaT * e}
		if heun {
			c.d1 = alphaT * (ratio(e, h) + 1)
		}
		c.d2 = -alphaT * (ratio(e+h, h*h) - 0.5)
		return c
	case dpmNoise:
		e := math.Expm1(h)
		c := dpmStep{x: alphaT / alphaS, d0: -sigmaT * e, d1: -0.5 * sigmaT * e}
		if heun {
			c.d1 = -sigmaT * (ratio(e, h) - 1)
		}
		c.d2 = -sigmaT * (ratio(e-h, h*h) - 0.5)
		return c
	case dpmSDEPlusPlus:
		e := -math.Expm1(-2 * h)
		c := dpmStep{x: sigmaT / sigmaS * math.Exp(-h), d0: alphaT * e, d1: 0.5 * alphaT * e, z: sigmaT * noiseShare(e)}
		if heun {
			c.d1 = alphaT * (ratio(e, -2*h) + 1)
		}
		c.d2 = alphaT * (ratio(e-2*h, 4*h*h) - 0.5)
		return c
	default: // dpmSDENoise
		e := math.Expm1(h)
		c := dpmStep{x: alphaT / alphaS, d0: -2 * sigmaT * e, d1: -sigmaT * e, z: sigmaT * noiseShare(math.Expm1(2*h))}
		if heun {
			c.d1 = -2 * sigmaT * (ratio(e, h) - 1)
		}
		return c
	}
}

// noiseShare is the square root of a variance. A last step may end at the level where it begins. Its length is 0 up to rounding to float32,
// so the variance may be a little below 0; then the result is 0.
func noiseShare(variance float64) float64 {
	if variance < 1e-6 {
		return 0
	}
	return math.Sqrt(variance)
}

// ratio is a/b, with the limit 0 for the infinite step that ends at level 0 (b infinite, a finite or of
// lower order).
func ratio(a, b float64) float64 {
	if math.IsInf(b, 0) {
		return 0
	}
	return a / b
}

// multistepWeights turns the coefficients into weights of the newest predictions: the differences of a
// solver of the given order that uses the predictions at levels i, i-1, i-2 (arXiv:2211.01095, algorithm 2).
func multistepWeights(w []float64, c dpmStep, v *vpSpace, i, order int) []float64 {
	h := v.stepLength(i)
	switch order {
	case 1:
		w[0] = c.d0
	case 2:
		r := ratio(v.lambda[i]-v.lambda[i-1], h)
		d := c.d1 / r // D1 = (m0 - m1) / r
		if math.IsInf(h, 1) {
			d = 0
		}
		w[0], w[1] = c.d0+d, -d
	case 3:
		r0 := (v.lambda[i] - v.lambda[i-1]) / h
		r1 := (v.lambda[i-1] - v.lambda[i-2]) / h
		// D1 = a + r0/(r0+r1)*(a-b), D2 = (a-b)/(r0+r1), a = (m0-m1)/r0, b = (m1-m2)/r1
		q := 1 / (r0 + r1)
		a := c.d1*(1+r0*q) + c.d2*q
		b := -(c.d1*r0*q + c.d2*q)
		w[0], w[1], w[2] = c.d0+a/r0, -a/r0+b/r1, -b/r1
	}
	return w[:order]
}

// dpmSolver is what both forms of DPM-Solver share.
type dpmSolver struct {
	multistep
	kind dpmKind
	heun bool
}

func newDPMSolver(c *Config, v vpSpace) dpmSolver {
	return dpmSolver{newMultistep(c, v, val(c.SolverOrder)), dpmKind(c.AlgorithmType), c.SolverType == "heun"}
}

func (d *dpmSolver) noisy(int) bool { return d.kind.stochastic() }
