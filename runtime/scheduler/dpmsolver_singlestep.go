package scheduler

// dpmSolverSinglestep is DPM-Solver and DPM-Solver++ in their singlestep form: steps come in groups of two or
// three, each later one of a group starting again from the group's first sample with one prediction more
// (arXiv:2206.00927, algorithms 1 and 2).
var dpmSolverSinglestep = method{
	fallback: func(c *Config) []string {
		notes := replaceWord(nil, &c.AlgorithmType, "algorithm_type", "dpmsolver++", "sde-dpmsolver")
		return append(notes, dpmFallback(c)...)
	},
	start: vpStart(finalTrained, func(s *sched, _ *RunOptions, timesteps []float64, v vpSpace) (solver, error) {
		return &dpmSinglestep{dpmSolver: newDPMSolver(&s.cfg, v), orders: singlestepOrders(&s.cfg, len(timesteps))}, nil
	}),
}

// singlestepOrders returns the order of each step: groups 1, 2 or 1, 2, 3. What is left at the end is made
// of lower orders; without lower_order_final that is possible only when the groups come out even and the last
// level is not 0, and lower_order_final is switched on otherwise, as in diffusers.
func singlestepOrders(c *Config, steps int) []int {
	order := val(c.SolverOrder)
	lower := val(c.LowerOrderFinal) || steps%order != 0 || c.FinalSigmasType == "zero"
	orders := make([]int, 0, steps)
	for i := range steps {
		orders = append(orders, i%order+1)
	}
	if lower && steps%order == 0 || c.FinalSigmasType == "zero" {
		orders[steps-1] = 1
	}
	return orders
}

type dpmSinglestep struct {
	dpmSolver
	orders []int
	kept   []float32 // the sample that the group began with
}

func (d *dpmSinglestep) reset(begin, n int) {
	d.multistep.reset(begin, n)
	d.kept = sized(d.kept, n)
}

func (d *dpmSinglestep) step(dst, out, sample, noise []float32, i int) {
	d.remember(&d.predictions, out, sample, i, !d.kind.ofNoise())
	order := d.usable(i, min(d.orders[i], d.predictions.n))
	if order == 1 {
		copy(d.kept, sample)
	}
	s := i - order + 1 // the level that the group began at
	h := d.lambda[i+1] - d.lambda[s]
	if h == 0 {
		copy(dst, d.kept)
		return
	}
	c := dpmCoefficients(d.kind, d.heun || order == 3, h, d.alpha[s], d.sigma[s], d.alpha[i+1], d.sigma[i+1])
	w := d.weights[:order]
	switch order {
	case 1:
		w[0] = c.d0
	case 2:
		q := c.d1 * h / (d.lambda[i] - d.lambda[s]) // D1 = (m0 - m1) / r0
		w[0], w[1] = q, c.d0-q
	case 3:
		d.thirdOrder(w, c, h, i)
	}
	combineHistory(dst, c.x, d.kept, w, &d.predictions, c.z, noise)
}

// thirdOrder sets the weights for m0, m1, m2 at levels i, i-1, i-2, the last being the group's first.
func (d *dpmSinglestep) thirdOrder(w []float64, c dpmStep, h float64, i int) {
	r0 := (d.lambda[i] - d.lambda[i-2]) / h
	r1 := (d.lambda[i-1] - d.lambda[i-2]) / h
	var a, b float64 // weights of D1_0 = (m1-m2)/r1 and D1_1 = (m0-m2)/r0
	if d.heun {
		// D1 = (r0*D1_0 - r1*D1_1)/(r0-r1), D2 = 2*(D1_1 - D1_0)/(r0-r1)
		a = (c.d1*r0 - 2*c.d2) / (r0 - r1)
		b = (2*c.d2 - c.d1*r1) / (r0 - r1)
	} else {
		b = c.d1
	}
	w[0], w[1], w[2] = b/r0, a/r1, c.d0-a/r1-b/r0
}
