package scheduler

import (
	"fmt"
	"math"
	"slices"
)

// uniPCMultistep is the unified predictor-corrector (arXiv:2302.04867): a multistep predictor, and a corrector
// that uses the model's output at the end of a step to improve the step it came from, without a further evaluation.
var uniPCMultistep = method{
	fallback: func(c *Config) []string {
		notes := replaceWord(nil, &c.SolverType, "solver_type", "bh2", "midpoint", "heun", "logrho")
		if !val(c.PredictX0) && c.FinalSigmasType == "zero" {
			c.FinalSigmasType = "sigma_min"
			notes = append(notes, "predict_x0 false cannot end at noise level 0: final_sigmas_type sigma_min is used")
		}
		if !val(c.LowerOrderFinal) && c.FinalSigmasType == "zero" && val(c.SolverOrder) > 1 {
			c.LowerOrderFinal = new(true)
			notes = append(notes, fmt.Sprintf("solver_order %d cannot end at noise level 0: lower_order_final is used", val(c.SolverOrder)))
		}
		return notes
	},
	start: vpStart(finalRepeated, func(s *sched, o *RunOptions, timesteps []float64, v vpSpace) (solver, error) {
		c := &s.cfg
		u := &uniPC{multistep: newMultistep(c, v, val(c.SolverOrder)+1), predictX0: val(c.PredictX0), bh1: c.SolverType == "bh1",
			skip: c.DisableCorrector}
		if !u.predictX0 {
			u.limit = limiter{} // diffusers bounds x0 only where it is what is interpolated
		}
		if c.SolverP == "" {
			return u, nil
		}
		var err error
		u.predictor, err = s.predictor(timesteps, o)
		return u, err
	}),
}

// predictors are the schedulers that solver_p can name: those of the same frame and the same timesteps.
var predictors = map[string]method{"DEISMultistepScheduler": deisMultistep, "DPMSolverMultistepScheduler": dpmSolverMultistep,
	"DPMSolverSinglestepScheduler": dpmSolverSinglestep}

// predictor starts solver_p with those of UniPC's options that it has, as diffusers' from_config does.
func (s *sched) predictor(timesteps []float64, o *RunOptions) (solver, error) {
	i := slices.IndexFunc(described.Schedulers, func(d *description) bool { return d.Name == s.cfg.SolverP })
	inner, err := (&algorithm{described.Schedulers[i], predictors[s.cfg.SolverP]}).build(s.cfg, false)
	if err != nil {
		return nil, fmt.Errorf("solver_p: %w", err)
	}
	p, predictor, err := inner.algo.start(inner, o)
	if err != nil {
		return nil, fmt.Errorf("solver_p: %w", err)
	}
	if !slices.Equal(p.timesteps, timesteps) {
		return nil, s.algo.bad("solver_p", s.cfg.SolverP,
			"with this timestep_spacing it visits other timesteps: use linspace, or another solver_p")
	}
	return predictor, nil
}

type uniPC struct {
	multistep        // of which the corrector's newest prediction is one more than the order
	predictX0, bh1   bool
	skip             []int // evaluations whose step is not corrected
	kept, corrected  whole // the sample that the last step began with; the corrected one
	begin, lastOrder int
	predictor        solver // solver_p, or nil
}

func (u *uniPC) reset(begin, n int) {
	u.begin = begin
	u.predictions.reset(n)
	rest := !u.predictX0 && u.predictions.rest != nil
	u.kept.resize(n, rest)
	u.corrected.resize(n, rest)
	if u.predictor != nil {
		u.predictor.reset(begin, n)
	}
}

func (u *uniPC) step(dst, out, sample, _ []float32, i int) {
	u.remember(&u.predictions, out, sample, i, u.predictX0)
	u.corrected.set(sample)
	if i > u.begin && !slices.Contains(u.skip, i-1) {
		u.update(u.corrected, i-1, true)
	}
	u.kept.copyFrom(u.corrected)

	order := min(u.order, i-u.begin+1)
	if u.lowerOrderFinal {
		order = min(order, len(u.lambda)-1-i)
	}
	u.lastOrder = u.usable(i, order)
	if u.predictor != nil {
		u.predictor.step(dst, out, u.corrected.v, nil, i)
		return
	}
	copy(dst, u.kept.v)
	u.update(whole{v: dst}, i, false)
}

// update makes the step from a level to the next with the predictions at that level and before. The corrector has the
// prediction at the step's end, the newest, as one point more.
func (u *uniPC) update(dst whole, from int, corrects bool) {
	h := u.stepLength(from)
	if h == 0 {
		return
	}
	order := u.lastOrder
	base, size := 0, order-1 // of the history: the prediction at level from; of the system: its unknowns
	if corrects {
		base, size = 1, order
	}
	hh, to := h, from+1
	if u.predictX0 {
		hh = -h
	}
	phi := math.Expm1(hh)
	bh := phi
	if u.bh1 {
		bh = hh
	}
	// x_t = cx*sample + m0*m_0 + d*(sum of rho_k D_k)
	cx, m0, d := u.alpha[to]/u.alpha[from], -u.sigma[to]*phi, -u.sigma[to]*bh
	if u.predictX0 {
		cx, m0, d = u.sigma[to]/u.sigma[from], -u.alpha[to]*phi, -u.alpha[to]*bh
	}
	w := u.weights[:order+base]
	clear(w)
	w[base] = m0
	var rho [maxUniOrder]float64
	if size == 1 {
		rho[0] = 0.5
	} else {
		u.solve(&rho, from, size, order, h, hh, bh)
	}
	for k := 1; k < order; k++ {
		c := d * rho[k-1] / ((u.lambda[from-k] - u.lambda[from]) / h) // of (m_k - m_0)/r_k
		w[base+k] += c
		w[base] -= c
	}
	if corrects {
		last := d * rho[order-1]
		w[0] += last
		w[1] -= last
	}
	combineCorrected(dst, cx, u.kept, w, &u.predictions, 0, nil)
}

// maxUniOrder bounds the order so that the system below needs no allocation.
const maxUniOrder = 4

// solve finds the size weights rho with sum_k rho_k r_k^(j-1) = b_j for j = 1 .. size, where r_1 .. r_{order-1} are
// the distances of earlier levels from level i in units of h and r_order = 1 (arXiv:2302.04867, equation 12).
func (u *uniPC) solve(rho *[maxUniOrder]float64, i, size, order int, h, hh, bh float64) {
	var m [maxUniOrder][maxUniOrder + 1]float64
	for k := range size {
		r := 1.0
		if k+1 < order {
			r = (u.lambda[i-k-1] - u.lambda[i]) / h
		}
		p := 1.0
		for j := range size {
			m[j][k] = p
			p *= r
		}
	}
	factorial := 1.0
	for j := range size {
		factorial *= float64(j + 1)
		m[j][size] = phiFunction(j+2, hh) * hh * factorial / bh
	}
	solveLinear(&m, size)
	for k := range size {
		rho[k] = m[k][size]
	}
}

// phiFunction is phi_k(x) = (phi_{k-1}(x) - 1/(k-1)!)/x with phi_0 = exp. Near 0, where the recurrence loses
// all digits, its Taylor series is used.
func phiFunction(k int, x float64) float64 {
	if math.Abs(x) < 1 {
		term := 1.0
		for j := 2; j <= k; j++ {
			term /= float64(j)
		}
		sum := 0.0
		for j := k + 1; math.Abs(term) > 1e-18*math.Abs(sum) && j < k+40; j++ {
			sum += term
			term *= x / float64(j)
		}
		return sum
	}
	phi, factorial := math.Expm1(x)/x, 1.0
	for j := 2; j <= k; j++ {
		factorial *= float64(j - 1)
		phi = (phi - 1/factorial) / x
	}
	return phi
}

// solveLinear reduces an augmented n x n system by Gauss and Jordan's method with pivoting; the solution is in
// column n.
func solveLinear(m *[maxUniOrder][maxUniOrder + 1]float64, n int) {
	for c := range n {
		p := c
		for r := c + 1; r < n; r++ {
			if math.Abs(m[r][c]) > math.Abs(m[p][c]) {
				p = r
			}
		}
		m[c], m[p] = m[p], m[c]
		for r := range n {
			if r == c {
				continue
			}
			f := m[r][c] / m[c][c]
			for k := c; k <= n; k++ {
				m[r][k] -= f * m[c][k]
			}
		}
	}
	for r := range n {
		m[r][n] /= m[r][r]
	}
}
