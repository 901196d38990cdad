package scheduler

import (
	"math"
	"math/rand/v2"
	"sort"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// integrate is Simpson's rule, the slow reference for closed forms.
func integrate(f func(float64) float64, a, b float64) float64 {
	const n = 2000
	h := (b - a) / n
	sum := f(a) + f(b)
	for i := 1; i < n; i++ {
		sum += f(a+float64(i)*h) * float64(2+2*(i%2))
	}
	return sum * h / 3
}

func TestExpMoment(t *testing.T) {
	for m := range 4 {
		for _, x := range []float64{-9, -2.5, -1.9, -0.3, -1e-3, 0, 1e-6, 0.2, 1.5, 2.1, 6} {
			want := integrate(func(u float64) float64 { return math.Exp(u) * math.Pow(u, float64(m)) }, 0, x)
			assert.InDelta(t, want, expMoment(m, x), 1e-9*(1+math.Abs(want)), "m %d, x %g", m, x)
		}
	}
}

func TestPhiFunction(t *testing.T) {
	// phi_k(x) = integral over u in [0,1] of exp((1-u) x) u^(k-1)/(k-1)!
	factorial := 1.0
	for k := 1; k <= 5; k++ {
		for _, x := range []float64{-8, -1.01, -0.99, -1e-9, 0, 1e-4, 0.5, 3} {
			want := integrate(func(u float64) float64 { return math.Exp((1-u)*x) * math.Pow(u, float64(k-1)) / factorial }, 0, 1)
			assert.InDelta(t, want, phiFunction(k, x), 1e-10*(1+want), "k %d, x %g", k, x)
		}
		factorial *= float64(k)
	}
}

// lagrange is 1 at nodes[k] and 0 at the others.
func lagrange(x float64, k int, nodes []float64) float64 {
	p := 1.0
	for j, n := range nodes {
		if j != k {
			p *= (x - n) / (nodes[k] - n)
		}
	}
	return p
}

func TestMultistepCoefficientsAreIntegrals(t *testing.T) {
	sigmas := []float64{14.6, 9, 5.5, 3.2, 1.4}
	v := newVPSpace(&Config{}, sigmas, 1)
	d := &deis{multistep: multistep{vpSpace: v}}
	l := &lms{veSpace: veSpace{sigmas: narrow(sigmas)}}
	sa := &saRun{multistep: multistep{vpSpace: v}, data: true}
	sn := &saRun{multistep: multistep{vpSpace: v}}
	for order := 1; order <= 4; order++ {
		const i = 3
		var logRho, lambda, sigma []float64
		for k := range order {
			logRho = append(logRho, math.Log(sigmas[i-k]))
			lambda = append(lambda, v.lambda[i-k])
			sigma = append(sigma, sigmas[i-k])
		}
		for k := range order {
			if order <= 3 {
				want := integrate(func(r float64) float64 { return lagrange(math.Log(r), k, logRho) }, sigmas[i], sigmas[i+1])
				assert.InDelta(t, want, d.coefficient(i, k, order), 1e-9, "DEIS order %d, %d", order, k)
			}
			want := integrate(func(s float64) float64 { return lagrange(s, k, sigma) }, sigmas[i], sigmas[i+1])
			assert.InDelta(t, want, l.coefficient(i, k, order), 1e-5, "LMS order %d, %d", order, k)
		}
		for _, tau := range []float64{0, 0.6, 1} {
			sa.tau, sn.tau = []float64{tau, tau, tau, tau}, []float64{tau, tau, tau, tau}
			w, wn := make([]float64, order), make([]float64, order)
			sa.coefficients(w, i, i, tau, false)
			sn.coefficients(wn, i, i, tau, false)
			for k := range order {
				want := math.Exp(-tau*tau*v.lambda[i+1]) * integrate(func(x float64) float64 {
					return math.Exp((1+tau*tau)*x) * lagrange(x, k, lambda)
				}, v.lambda[i], v.lambda[i+1])
				if order != 2 { // where the authors' shift is added
					assert.InDelta(t, want, w[k], 1e-9, "SA order %d, %d, tau %g", order, k, tau)
				}
				want = integrate(func(x float64) float64 { return math.Exp(-x) * lagrange(x, k, lambda) }, v.lambda[i], v.lambda[i+1])
				assert.InDelta(t, want, wn[k], 1e-9, "SA noise order %d, %d", order, k)
			}
		}
	}
}

func TestQuantileMatchesSorting(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for trial := range 200 {
		n := 1 + trial%37
		a := make([]float32, n)
		for i := range a {
			a[i] = float32(r.IntN(9)) // with repetitions
			if trial%2 == 0 {
				a[i] = r.Float32()
			}
		}
		sorted := append([]float32(nil), a...)
		sort.Slice(sorted, func(i, j int) bool { return sorted[i] < sorted[j] })
		q := r.Float64()
		rank := q * float64(n-1)
		k := int(rank)
		want := sorted[k]
		if k+1 < n {
			want += float32(rank-float64(k)) * (sorted[k+1] - sorted[k])
		}
		assert.InDelta(t, want, quantile(a, q), 1e-5)
	}
}

func TestBetaQuantile(t *testing.T) {
	// scipy.stats.beta.ppf(p, 0.6, 0.6)
	for p, want := range map[float64]float64{0: 0, 0.5: 0.5, 1: 1, 0.001: 1.855873851745199e-05, 0.01: 0.0008612388215429059,
		0.1: 0.03958440558878085, 0.25: 0.17568037865269498, 0.4: 0.3627009907532143, 0.9: 0.9604155944112192, 0.999: 0.9999814412614826} {
		assert.InDelta(t, want, betaQuantile(p, 0.6, 0.6), 1e-12, "p %g", p)
	}
	lnBeta := 2*lgamma(0.6) - lgamma(1.2)
	for i := 1; i < 100; i++ {
		p := float64(i) / 100
		x := betaQuantile(p, 0.6, 0.6)
		assert.InDelta(t, p, betaInc(x, 0.6, 0.6, lnBeta), 1e-13)
		assert.InDelta(t, 1-x, betaQuantile(1-p, 0.6, 0.6), 1e-12, "symmetry")
	}
}

// The noise of DPMSolverSDE: over a step, the increments to the middle and to the end are those of one Brownian motion.
func TestSDENoiseIsBrownian(t *testing.T) {
	s, err := New("DPM++ SDE", SDXLDefaults().With(Config{PredictionType: "sample"}))
	require.NoError(t, err)
	const n = 200000
	run, err := s.NewRun(RunOptions{NumInferenceSteps: 10})
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(3, 4))
	noise := NoiseFunc(func(dst []float32) error {
		for i := range dst {
			dst[i] = float32(r.NormFloat64())
		}
		return nil
	})
	// With x0 = 0 predicted and a start at 0, a sample is its noise alone.
	zero, mid, end := make([]float32, n), make([]float32, n), make([]float32, n)
	require.NoError(t, run.Step(mid, zero, zero, 0, noise))
	require.NoError(t, run.Step(end, zero, mid, 1, noise))
	sig := run.Sigmas()
	up := func(to float64) float64 { return math.Sqrt(to * to * (sig[0]*sig[0] - to*to) / (sig[0] * sig[0])) }
	var mm, ee, me float64
	for i := range mid {
		m, e := float64(mid[i])/up(sig[1]), float64(end[i])/up(sig[2])
		mm, ee, me = mm+m*m/n, ee+e*e/n, me+m*e/n
	}
	assert.InDelta(t, 1, mm, 0.01)
	assert.InDelta(t, 1, ee, 0.01)
	assert.InDelta(t, math.Sqrt((sig[0]-sig[1])/(sig[0]-sig[2])), me, 0.01, "correlation of W(mid) and W(end)")
}
