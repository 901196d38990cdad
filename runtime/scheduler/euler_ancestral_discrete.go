package scheduler

// eulerAncestralDiscrete is Euler's method with ancestral sampling: each step goes further down than the next
// level and adds fresh noise (after k-diffusion's sample_euler_ancestral).
var eulerAncestralDiscrete = &algorithm{
	name:    "EulerAncestralDiscreteScheduler",
	summary: "Euler's method with fresh noise in every step; does not converge with more steps",
	order:   1,
	defaults: Config{
		NumTrainTimesteps: new(1000), BetaStart: new(0.0001), BetaEnd: new(0.02), BetaSchedule: "linear",
		PredictionType: "epsilon", TimestepSpacing: "linspace", StepsOffset: new(0), RescaleBetasZeroSNR: new(false),
	},
	optional:     []string{"trained_betas"},
	values:       commonValues(nil),
	floorZeroSNR: true,
	start: func(s *sched, o *RunOptions) (*plan, solver, error) {
		timesteps, sigmas, err := s.veSchedule(o)
		if err != nil {
			return nil, nil, err
		}
		e := &eulerAncestral{veSpace{narrow(sigmas), predictionOf(&s.cfg)}}
		return s.vePlan(timesteps, sigmas), e, nil
	},
}

type eulerAncestral struct{ veSpace }

func (e *eulerAncestral) reset(_, _ int) {}

func (e *eulerAncestral) noisy(int) bool { return true }

func (e *eulerAncestral) step(dst, out, sample, noise []float32, i int) {
	sigma := e.sigmas[i]
	up, down := ancestral(sigma, e.sigmas[i+1])
	e.euler(dst, out, sample, sigma, down-sigma)
	for j, z := range noise {
		dst[j] += float32(z * up)
	}
}

// ancestral splits the step between two levels into the noise to add (up) and the level to go down to
// before, in float32 as diffusers does.
func ancestral(from, to float32) (up, down float32) {
	f2, t2 := float32(from*from), float32(to*to)
	up = sqrt32(float32(t2*float32(f2-t2)) / f2)
	down = sqrt32(t2 - float32(up*up))
	return up, down
}
