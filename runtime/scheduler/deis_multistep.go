package scheduler

import "math"

// deisMultistep is DEIS in its log-rho form (arXiv:2204.13902): the predicted noise is interpolated by a
// polynomial in log(rho), rho = sigma/alpha, and integrated exactly over rho.
var deisMultistep = method{
	fallback: func(c *Config) []string {
		notes := replaceWord(nil, &c.AlgorithmType, "algorithm_type", "deis",
			"dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++", "data_prediction", "noise_prediction")
		return replaceWord(notes, &c.SolverType, "solver_type", "logrho", "midpoint", "heun", "bh1", "bh2")
	},
	start: vpStart(finalNonzero, func(s *sched, _ *RunOptions, _ []float64, v vpSpace) (solver, error) {
		return &deis{newMultistep(&s.cfg, v, val(s.cfg.SolverOrder))}, nil
	}),
}

type deis struct{ multistep }

func (d *deis) step(dst, out, sample, _ []float32, i int) {
	d.remember(&d.predictions, out, sample, i, false)
	if d.stepLength(i) == 0 {
		copy(dst, sample)
		return
	}
	steps := len(d.lambda) - 1
	order := min(d.order, d.predictions.n)
	if d.lowerOrderFinal && steps < 15 {
		order = min(order, steps-i)
	}
	order = d.usable(i, order)
	w := d.weights[:order]
	for k := range w {
		w[k] = d.alpha[i+1] * d.coefficient(i, k, order)
	}
	combineHistory(dst, d.alpha[i+1]/d.alpha[i], sample, w, &d.predictions, 0, nil)
}

// coefficient integrates over rho, from level i to the next, the polynomial in log(rho) that is 1 at level i-k
// and 0 at the other order-1 levels before i. With rho = rho_i*exp(u) and nodes at u_j = log(rho_(i-j)/rho_i), the
// integrand is rho_i*exp(u) times a polynomial in u; its moments are integrated exactly. (diffusers
// evaluates antiderivatives in float32 and subtracts them, which loses digits at small steps.)
func (d *deis) coefficient(i, k, order int) float64 {
	poly := lagrangePolynomial(k, order, func(j int) float64 { return d.lambda[i] - d.lambda[i-j] },
		func(x, distance float64) float64 { return x * (1 / distance) })
	u := -d.stepLength(i) // log(rho_next/rho_i)
	rho := d.sigma[i] / d.alpha[i]
	sum := 0.0
	for m := range order {
		sum += poly[m] * expMoment(m, u)
	}
	return rho * sum
}

// lagrangePolynomial returns the coefficients, lowest first, of the polynomial that is 1 at node k and 0 at the other order-1 nodes.
// divide divides by the distance of two nodes, as rounding demands.
func lagrangePolynomial(k, order int, node func(j int) float64, divide func(x, distance float64) float64) (poly [4]float64) {
	poly[0] = 1
	degree := 0
	for j := range order {
		if j == k {
			continue
		}
		degree++
		for m := degree; m >= 0; m-- {
			prev := 0.0
			if m > 0 {
				prev = poly[m-1]
			}
			poly[m] = divide(prev-node(j)*poly[m], node(k)-node(j))
		}
	}
	return poly
}

// expMoment is the integral of exp(u)*u^m from 0 to x, m = 0 .. 3: x^(m+1) * sum over j of x^j / (j! * (m+1+j)).
func expMoment(m int, x float64) float64 {
	if math.Abs(x) < 2 {
		term, sum := math.Pow(x, float64(m+1)), 0.0
		for j := range 60 {
			sum += term / float64(m+1+j)
			term *= x / float64(j+1)
		}
		return sum
	}
	e := math.Exp(x)
	switch m {
	case 0:
		return e - 1
	case 1:
		return e*(x-1) + 1
	case 2:
		return e*(x*x-2*x+2) - 2
	default: // 3, the highest that is used
		return e*(x*x*x-3*x*x+6*x-6) + 6
	}
}
