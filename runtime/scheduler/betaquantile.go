package scheduler

import "math"

// betaQuantile returns x with I_x(a, b) = p, the inverse of the regularised incomplete beta function, to
// about 1e-14: bisection brackets the root, Newton's method refines it.
func betaQuantile(p, a, b float64) float64 {
	if p <= 0 {
		return 0
	}
	if p >= 1 {
		return 1
	}
	lnBeta := lgamma(a) + lgamma(b) - lgamma(a+b)
	lo, hi, x := 0.0, 1.0, 0.5
	for range 200 {
		f := betaInc(x, a, b, lnBeta) - p
		if f == 0 {
			return x
		}
		if f > 0 {
			hi = x
		} else {
			lo = x
		}
		density := math.Exp((a-1)*math.Log(x) + (b-1)*math.Log1p(-x) - lnBeta)
		next := x - f/density
		if !(next > lo && next < hi) {
			next = (lo + hi) / 2
		}
		if math.Abs(next-x) <= 1e-15*x {
			return next
		}
		x = next
	}
	return x
}

func lgamma(x float64) float64 {
	v, _ := math.Lgamma(x)
	return v
}

// betaInc is the regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22),
// which converges fast for x below the mean; above it the symmetry I_x(a,b) = 1 - I_{1-x}(b,a) is used.
func betaInc(x, a, b, lnBeta float64) float64 {
	if x > (a+1)/(a+b+2) {
		return 1 - betaInc(1-x, b, a, lnBeta)
	}
	if x <= 0 {
		return 0
	}
	front := math.Exp(a*math.Log(x)+b*math.Log1p(-x)-lnBeta) / a
	const tiny = 1e-300
	f, c, d := 1.0, 1.0, 0.0
	for m := 0; m < 1000; m++ {
		var num float64
		k := float64(m / 2)
		switch {
		case m == 0:
			num = 1
		case m%2 == 0:
			num = k * (b - k) * x / ((a + 2*k - 1) * (a + 2*k))
		default:
			num = -(a + k) * (a + b + k) * x / ((a + 2*k) * (a + 2*k + 1))
		}
		d = 1 / nonzero(1+num*d, tiny)
		c = nonzero(1+num/c, tiny)
		f *= c * d
		if m > 0 && math.Abs(c*d-1) < 1e-16 {
			break
		}
	}
	return front * (f - 1)
}

func nonzero(x, tiny float64) float64 {
	if math.Abs(x) < tiny {
		return tiny
	}
	return x
}
