package scheduler

import "math"

// edmDPMSolverMultistep is DPM-Solver++ multistep for preconditioned models (arXiv:2211.01095 in the frame of
// arXiv:2206.00364).
var edmDPMSolverMultistep = &algorithm{
	name:    "EDMDPMSolverMultistepScheduler",
	summary: "DPM-Solver++ multistep for EDM-preconditioned models",
	order:   1,
	defaults: Config{
		SigmaMin: new(0.002), SigmaMax: new(80.0), SigmaData: new(0.5), SigmaSchedule: "karras", NumTrainTimesteps: new(1000),
		PredictionType: "epsilon", Rho: new(7.0), SolverOrder: new(2),
		Thresholding: new(false), DynamicThresholdingRatio: new(0.995), SampleMaxValue: new(1.0),
		AlgorithmType: "dpmsolver++", SolverType: "midpoint", LowerOrderFinal: new(true), EulerAtFinal: new(false),
		FinalSigmasType: "zero",
	},
	values:     edmValues,
	ranges:     map[string]numRange{"solver_order": {lo: 1, hi: 3}},
	untrained:  true,
	continuous: edmContinuous,
	fallback: func(c *Config) []string {
		notes := dpmFallback(c)
		if c.AlgorithmType == "sde-dpmsolver++" && val(c.SolverOrder) == 3 {
			c.SolverOrder = new(2)
			notes = append(notes, "algorithm_type sde-dpmsolver++ has no third order here: solver_order 2 is used")
		}
		return notes
	},
	start: func(s *sched, o *RunOptions) (*plan, solver, error) {
		p := s.edmPlan(o.NumInferenceSteps, true)
		e := &edmMultistep{edm: newEDMSpace(&s.cfg, p.sigmas, o.BatchSize)}
		v := vpSpace{}
		for _, sigma := range p.sigmas {
			v.alpha = append(v.alpha, 1)
			v.sigma = append(v.sigma, sigma)
			v.lambda = append(v.lambda, -math.Log(sigma))
		}
		e.dpmMultistep = newDPMMultistep(&s.cfg, v)
		return p, e, nil
	},
}

// edmMultistep is the multistep solver with alpha = 1 and the preconditioned model's frame around it.
type edmMultistep struct {
	*dpmMultistep
	edm edmSpace
}

func (e *edmMultistep) scale(dst, sample []float32, i int) { e.edm.scale(dst, sample, i) }

func (e *edmMultistep) original(dst, out, sample []float32, i int) {
	e.edm.original(dst, out, sample, i)
}

func (e *edmMultistep) addNoise(dst, original, noise []float32, i int) {
	e.edm.addNoise(dst, original, noise, i)
}

func (e *edmMultistep) step(dst, out, sample, noise []float32, i int) {
	e.edm.original(e.predictions.push(), out, sample, i)
	e.advance(dst, sample, noise, i)
}
