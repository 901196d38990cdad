package scheduler

import (
	"fmt"
	"math"
)

// dpmSolverMultistep is DPM-Solver and DPM-Solver++ in their multistep form, ordinary and stochastic
// (arXiv:2206.00927, arXiv:2211.01095).
var dpmSolverMultistep = &algorithm{
	name:    "DPMSolverMultistepScheduler",
	summary: "DPM-Solver++ multistep (DPM++ 2M, 3M and their SDE variants)",
	order:   1,
	defaults: Config{
		NumTrainTimesteps: new(1000), BetaStart: new(0.0001), BetaEnd: new(0.02), BetaSchedule: "linear",
		SolverOrder: new(2), PredictionType: "epsilon",
		Thresholding: new(false), DynamicThresholdingRatio: new(0.995), SampleMaxValue: new(1.0),
		AlgorithmType: "dpmsolver++", SolverType: "midpoint", LowerOrderFinal: new(true), EulerAtFinal: new(false),
		UseKarrasSigmas: new(false), UseExponentialSigmas: new(false), UseBetaSigmas: new(false), UseFlowSigmas: new(false), FlowShift: new(1.0), UseLuLambdas: new(false),
		FinalSigmasType: "zero", LambdaMinClipped: new(math.Inf(-1)),
		TimestepSpacing: "linspace", StepsOffset: new(0), RescaleBetasZeroSNR: new(false),
	},
	optional: []string{"trained_betas", "variance_type"},
	values: flowValues(map[string][]string{
		"variance_type":  learnedVariance,
		"algorithm_type": {"dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver"},
		"solver_type":    {"midpoint", "heun"},
	}),
	ranges:          map[string]numRange{"solver_order": {lo: 1, hi: 3}},
	fallback:        dpmFallback,
	floorZeroSNR:    true,
	keepsCosine:     true,
	customTimesteps: true,
	start: func(s *sched, o *RunOptions) (*plan, solver, error) {
		timesteps, sigmas, err := s.vpSchedule(o, finalTrained)
		if err != nil {
			return nil, nil, err
		}
		return s.vpPlan(timesteps, sigmas), newDPMMultistep(&s.cfg, newVPSpace(&s.cfg, sigmas, o.BatchSize)), nil
	},
}

// dpmFallback replaces what the DPM-Solvers cannot run: words that belong to other solvers (from a config
// that was written for one), a final level 0 where the noise is interpolated (its weight would be infinite),
// and order 3 where diffusers has no formula.
func dpmFallback(c *Config) []string {
	var notes []string
	c.dropFixedVariance()
	notes = replaceWord(notes, &c.AlgorithmType, "algorithm_type", "dpmsolver++", "deis", "data_prediction", "noise_prediction")
	notes = replaceWord(notes, &c.SolverType, "solver_type", "midpoint", "logrho", "bh1", "bh2")
	kind := dpmKindOf(c.AlgorithmType)
	if (kind == dpmNoise || kind == dpmSDENoise) && c.FinalSigmasType == "zero" {
		c.FinalSigmasType = "sigma_min"
		notes = append(notes, fmt.Sprintf("algorithm_type %s cannot end at noise level 0: final_sigmas_type sigma_min is used", c.AlgorithmType))
	}
	if kind == dpmSDENoise && val(c.SolverOrder) == 3 {
		c.SolverOrder = new(2)
		notes = append(notes, "algorithm_type sde-dpmsolver has no third order: solver_order 2 is used")
	}
	return notes
}

// replaceWord sets *word to use when it is one of the foreign words, and says so.
func replaceWord(notes []string, word *string, option, use string, foreign ...string) []string {
	for _, f := range foreign {
		if *word == f {
			*word = use
			return append(notes, fmt.Sprintf("%s %s belongs to another scheduler: %s is used", option, f, use))
		}
	}
	return notes
}

type dpmMultistep struct {
	vpSpace
	kind                         dpmKind
	heun                         bool
	order                        int
	lowerOrderFinal, eulerAtLast bool
	predictions                  history
	weights                      []float64
}

func newDPMMultistep(c *Config, v vpSpace) *dpmMultistep {
	order := val(c.SolverOrder)
	return &dpmMultistep{
		vpSpace: v, kind: dpmKindOf(c.AlgorithmType), heun: c.SolverType == "heun", order: order,
		lowerOrderFinal: val(c.LowerOrderFinal), eulerAtLast: val(c.EulerAtFinal) || c.FinalSigmasType == "zero",
		predictions: newHistory(order), weights: make([]float64, 3),
	}
}

func (d *dpmMultistep) reset(_, n int) { d.predictions.reset(n) }

func (d *dpmMultistep) noisy(int) bool { return d.kind.stochastic() }

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
	m := d.predictions.push()
	if d.kind == dpmPlusPlus || d.kind == dpmSDEPlusPlus {
		d.original(m, out, sample, i)
	} else {
		d.epsilon(m, out, sample, i)
	}
	d.advance(dst, sample, noise, i)
}

// advance makes the step from the predictions.
func (d *dpmMultistep) advance(dst, sample, noise []float32, i int) {
	h := d.stepLength(i)
	if zeroStep(h) {
		copy(dst, sample)
		return
	}
	order := d.orderAt(i)
	c := dpmCoefficients(d.kind, d.heun || order == 3, h, d.alpha[i], d.sigma[i], d.alpha[i+1], d.sigma[i+1])
	w := multistepWeights(d.weights, c, &d.vpSpace, i, order)
	combineHistory(dst, c.x, sample, w, &d.predictions, c.z, noise)
}
