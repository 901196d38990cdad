package scheduler

import "math"

// edmDPMSolverMultistep is DPM-Solver++ multistep for preconditioned models (arXiv:2211.01095 in the frame of
// arXiv:2206.00364).
var edmDPMSolverMultistep = method{
	continuous: always,
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
		v := vpSpace{}
		for _, sigma := range p.sigmas {
			v.add(1, sigma)
			v.lambda = append(v.lambda, -math.Log(sigma))
		}
		return p, &edmMultistep{newEDMSpace(&s.cfg, p.sigmas, o.BatchSize), newDPMMultistep(&s.cfg, v)}, nil
	},
}

// edmMultistep is the multistep solver with alpha = 1 in the preconditioned model's frame.
type edmMultistep struct {
	edmSpace
	multi *dpmMultistep
}

func (e *edmMultistep) reset(begin, n int) { e.multi.reset(begin, n) }

func (e *edmMultistep) noisy(i int) bool { return e.multi.noisy(i) }

func (e *edmMultistep) step(dst, out, sample, noise []float32, i int) {
	e.original(e.multi.predictions.push(), out, sample, i)
	e.multi.advance(dst, sample, noise, i)
}
