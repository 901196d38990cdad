package scheduler

import (
	"fmt"
	"slices"
)

// dpmSolverMultistep is DPM-Solver and DPM-Solver++ in their multistep form, ordinary and stochastic
// (arXiv:2206.00927, arXiv:2211.01095).
var dpmSolverMultistep = method{
	fallback: dpmFallback,
	start: vpStart(finalTrained, func(s *sched, _ *RunOptions, _ []float64, v vpSpace) (solver, error) {
		return newDPMMultistep(&s.cfg, v), nil
	}),
}

// dpmFallback replaces options that the DPM-Solvers cannot run: words of other solvers (from a config that was
// written for one), a final level 0 if the noise is interpolated (its weight would be infinite), and order 3 if
// diffusers has no formula for it.
func dpmFallback(c *Config) []string {
	c.dropFixedVariance()
	notes := replaceWord(nil, &c.AlgorithmType, "algorithm_type", "dpmsolver++", "deis", "data_prediction", "noise_prediction")
	notes = replaceWord(notes, &c.SolverType, "solver_type", "midpoint", "logrho", "bh1", "bh2")
	kind := dpmKind(c.AlgorithmType)
	if kind.ofNoise() && c.FinalSigmasType == "zero" {
		c.FinalSigmasType = "sigma_min"
		notes = append(notes, "algorithm_type "+c.AlgorithmType+" cannot end at noise level 0: final_sigmas_type sigma_min is used")
	}
	if kind == dpmSDENoise && val(c.SolverOrder) == 3 {
		c.SolverOrder = new(2)
		notes = append(notes, "algorithm_type sde-dpmsolver has no third order: solver_order 2 is used")
	}
	return notes
}

// replaceWord sets *word to use when it is one of the foreign words, and says so.
func replaceWord(notes []string, word *string, option, use string, foreign ...string) []string {
	if was := *word; slices.Contains(foreign, was) {
		*word = use
		notes = append(notes, fmt.Sprintf("%s %s belongs to another scheduler: %s is used", option, was, use))
	}
	return notes
}

type dpmMultistep struct {
	dpmSolver
	eulerAtLast bool
}

func newDPMMultistep(c *Config, v vpSpace) *dpmMultistep {
	return &dpmMultistep{newDPMSolver(c, v), val(c.EulerAtFinal) || c.FinalSigmasType == "zero"}
}

// orderAt is the order of the step from level i: it grows with the predictions there are, and falls at
// the end of short runs.
func (d *dpmMultistep) orderAt(i int) int {
	steps := len(d.lambda) - 1
	order := min(d.order, d.predictions.n)
	short := d.lowerOrderFinal && steps < 15
	switch {
	case i == steps-1 && (d.eulerAtLast || short):
		order = 1
	case i == steps-2 && short:
		order = min(order, 2)
	}
	return d.usable(i, order)
}

func (d *dpmMultistep) step(dst, out, sample, noise []float32, i int) {
	d.remember(&d.predictions, out, sample, i, !d.kind.ofNoise())
	d.advance(dst, sample, noise, i)
}

// advance makes the step from the predictions.
func (d *dpmMultistep) advance(dst, sample, noise []float32, i int) {
	h := d.stepLength(i)
	if h == 0 {
		copy(dst, sample)
		return
	}
	order := d.orderAt(i)
	c := dpmCoefficients(d.kind, d.heun || order == 3, h, d.alpha[i], d.sigma[i], d.alpha[i+1], d.sigma[i+1])
	w := multistepWeights(d.weights, c, &d.vpSpace, i, order)
	combineHistory(dst, c.x, sample, w, &d.predictions, c.z, noise)
}
