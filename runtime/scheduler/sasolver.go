package scheduler

import "math"

// saSolver is the stochastic Adams solver (arXiv:2309.05019): an Adams-Bashforth predictor and an Adams-Moulton
// corrector for the diffusion SDE, with an amount of noise tau that depends on the timestep.
//
// diffusers takes tau as a function, by default 1 for timesteps in [200, 800] and 0 elsewhere; the options tau,
// tau_start and tau_end say the same.
var saSolver = method{
	fallback: func(c *Config) []string {
		c.dropFixedVariance()
		notes := replaceWord(nil, &c.AlgorithmType, "algorithm_type", "data_prediction", "dpmsolver++", "sde-dpmsolver++", "deis")
		return replaceWord(notes, &c.AlgorithmType, "algorithm_type", "noise_prediction", "dpmsolver", "sde-dpmsolver")
	},
	start: vpStart(finalNonzero, func(s *sched, o *RunOptions, timesteps []float64, v vpSpace) (solver, error) {
		c := &s.cfg
		predictor, corrector := val(c.PredictorOrder), val(c.CorrectorOrder)
		d := &saRun{multistep: newMultistep(c, v, max(predictor, corrector-1)+1), data: c.AlgorithmType == "data_prediction",
			predictor: predictor, corrector: corrector}
		for _, t := range timesteps {
			tau := 0.0
			if t >= val(c.TauEnd) && t <= val(c.TauStart) {
				tau = val(c.Tau)
			}
			d.tau = append(d.tau, tau)
		}
		if c.firstOn(spacings...) != "" {
			d.trained = s.trainedLevels(timesteps, o.BatchSize)
		}
		return d, nil
	}),
}

type saRun struct {
	multistep
	tau                  []float64 // by evaluation
	data                 bool      // x0 is interpolated, not the noise
	predictor, corrector int
	kept, corrected      whole
	keptNoise            []float32
	begin, correctorAt   int
	// trained has training's levels at the timesteps, if the run's levels have another spacing. diffusers adds noise by training's levels.
	trained *frame
}

// trainedLevels are training's levels at whole timesteps.
func (s *sched) trainedLevels(timesteps []float64, batch int) *frame {
	f := newFrame(&s.cfg, batch)
	for _, t := range timesteps {
		a := s.alphaAt(int(t))
		f.add(math.Sqrt(a), math.Sqrt(1-a))
	}
	return &f
}

func (d *saRun) addNoise(dst, original, noise []float32, i int) {
	if d.trained != nil && i < len(d.trained.alpha) {
		d.trained.addNoise(dst, original, noise, i)
		return
	}
	d.frame.addNoise(dst, original, noise, i)
}

func (d *saRun) reset(begin, n int) {
	d.begin = begin
	d.predictions.reset(n)
	rest := !d.data && d.predictions.rest != nil
	d.kept.resize(n, rest)
	d.corrected.resize(n, rest)
	d.keptNoise = sized(d.keptNoise, n)
}

// noisy is true always: diffusers draws noise even where tau is 0.
func (d *saRun) noisy(int) bool { return true }

func (d *saRun) step(dst, out, sample, noise []float32, i int) {
	d.remember(&d.predictions, out, sample, i, d.data)
	d.corrected.set(sample)
	if i > d.begin && d.stepLength(i-1) != 0 {
		// the corrector's points are the levels i, i-1, ...
		order := d.usable(i, d.correctorAt)
		d.update(d.corrected, d.keptNoise, i-1, i, order, true)
	}
	d.kept.copyFrom(d.corrected)
	copy(d.keptNoise, noise)

	done, left := i-d.begin, len(d.lambda)-1-i
	order := min(d.predictor, done+1)
	d.correctorAt = min(d.corrector, done+2)
	if d.lowerOrderFinal {
		order = min(order, left)
		d.correctorAt = min(d.correctorAt, left+1)
	}
	if d.stepLength(i) == 0 {
		copy(dst, d.kept.v)
		return
	}
	d.update(whole{v: dst}, noise, i, i, d.usable(i, order), false)
}

// update makes the step from level `from` to the next out of the sample kept, with the newest `order` predictions.
// The newest of them is at level newest.
func (d *saRun) update(dst whole, noise []float32, from, newest, order int, correcting bool) {
	h := d.stepLength(from)
	tau := d.tau[from]
	t2 := 1 + tau*tau
	w := d.weights[:order]
	d.coefficients(w, from, newest, tau, correcting)
	to := from + 1
	if d.data {
		for k := range w {
			w[k] *= t2 * d.sigma[to]
		}
		cx := math.Exp(-tau*tau*h) * d.sigma[to] / d.sigma[from]
		cz := d.sigma[to] * math.Sqrt(max(-math.Expm1(-2*tau*tau*h), 0))
		combineCorrected(dst, cx, d.kept, w, &d.predictions, cz, noise)
		return
	}
	for k := range w {
		w[k] *= -t2 * d.alpha[to]
	}
	cz := tau * d.sigma[to] * math.Sqrt(max(math.Expm1(2*h), 0))
	combineCorrected(dst, d.alpha[to]/d.alpha[from], d.kept, w, &d.predictions, cz, noise)
}

// coefficients sets w to the integrals of the Lagrange polynomials over the step (arXiv:2309.05019, formulas 14
// and 17), in u = lambda - lambda_to, so that exponents stay near 0:
//
//	data:  exp(-tau^2 lambda_to) * integral of exp((1+tau^2) lambda) l_k(lambda)
//	     = exp(lambda_to) * integral of exp((1+tau^2) u) l_k        over u from -h to 0
//	noise: integral of exp(-lambda) l_k
func (d *saRun) coefficients(w []float64, from, newest int, tau float64, correcting bool) {
	h := d.stepLength(from)
	to := from + 1
	rate := -1.0
	scale := math.Exp(-d.lambda[to])
	if d.data {
		rate = 1 + tau*tau
		scale = math.Exp(d.lambda[to])
	}
	for k := range w {
		poly := lagrangePolynomial(k, len(w), func(j int) float64 { return d.lambda[newest-j] - d.lambda[to] },
			func(x, distance float64) float64 { return x / distance })
		sum := 0.0
		for m := range w {
			// integral of exp(rate*u) u^m from -h to 0
			sum -= poly[m] * expMoment(m, -rate*h) / math.Pow(rate, float64(m+1))
		}
		w[k] = scale * sum
	}
	if d.data && len(w) == 2 {
		d.secondOrderShift(w, from, tau, correcting)
	}
}

// secondOrderShift is the change that diffusers' implementation (after the authors') makes to second-order
// coefficients with data prediction.
func (d *saRun) secondOrderShift(w []float64, from int, tau float64, correcting bool) {
	h := d.stepLength(from)
	t2 := 1 + tau*tau
	e := (h*t2 - 1 + math.Exp(-t2*h)) / (t2 * t2)
	var shift float64
	if correcting {
		shift = h/2 - e/h
	} else {
		shift = (h*h/2 - e) / (d.lambda[from] - d.lambda[from-1])
	}
	// diffusers adds exp((1+tau^2) lambda_to)*shift and multiplies by exp(-tau^2 lambda_to) afterwards
	shift *= math.Exp(d.lambda[from+1])
	w[0] += shift
	w[1] -= shift
}
