package scheduler

// lmsDiscrete is the linear multistep method of k-diffusion: the slopes of the last steps are interpolated
// by a polynomial, which is integrated over the step.
//
// When a run starts in the middle (image-to-image), diffusers uses coefficients of full order from the
// first step on although the earlier slopes do not exist; here the order grows with the slopes.
var lmsDiscrete = &algorithm{
	name:    "LMSDiscreteScheduler",
	summary: "linear multistep method; up to four slopes remembered",
	order:   1,
	defaults: Config{
		NumTrainTimesteps: new(1000), BetaStart: new(0.0001), BetaEnd: new(0.02), BetaSchedule: "linear",
		UseKarrasSigmas: new(false), UseExponentialSigmas: new(false), UseBetaSigmas: new(false),
		PredictionType: "epsilon", TimestepSpacing: "linspace", StepsOffset: new(0), LMSOrder: new(4),
	},
	optional: []string{"trained_betas"},
	values:   commonValues(nil),
	start: func(s *sched, o *RunOptions) (*plan, solver, error) {
		timesteps, sigmas, err := s.veSchedule(o)
		if err != nil {
			return nil, nil, err
		}
		order := val(s.cfg.LMSOrder)
		l := &lms{veSpace: veSpace{narrow(sigmas), predictionOf(&s.cfg)}, slopes: newHistory(order), weights: make([]float64, order)}
		return s.vePlan(timesteps, sigmas), l, nil
	},
}

type lms struct {
	veSpace
	slopes  history
	weights []float64
}

func (l *lms) reset(_, n int) { l.slopes.reset(n) }

func (l *lms) noisy(int) bool { return false }

func (l *lms) step(dst, out, sample, _ []float32, i int) {
	sigma := l.sigmas[i]
	d := l.slopes.push()
	l.predict(d, out, sample, sigma, sigma)
	for j, x := range sample {
		d[j] = (x - d[j]) / sigma
	}
	w := l.weights[:l.slopes.n]
	for k := range w {
		w[k] = l.coefficient(i, k, len(w))
	}
	combineHistory(dst, 1, sample, w, &l.slopes, 0, nil)
}

// The nodes and weights of Gauss and Legendre's rule with two points, exact for polynomials up to degree 3.
const gaussNode = 0.57735026918962576451 // 1/sqrt(3)

// coefficient integrates, over the step from level i to the next, the Lagrange polynomial that is 1 at
// level i-k and 0 at the other order-1 levels before i.
func (l *lms) coefficient(i, k, order int) float64 {
	a, b := float64(l.sigmas[i]), float64(l.sigmas[i+1])
	sum := 0.0
	for _, x := range [2]float64{-gaussNode, gaussNode} {
		tau := (a+b)/2 + x*(b-a)/2
		prod := 1.0
		for m := range order {
			if m != k {
				prod *= (tau - float64(l.sigmas[i-m])) / (float64(l.sigmas[i-k]) - float64(l.sigmas[i-m]))
			}
		}
		sum += prod
	}
	return sum * (b - a) / 2
}
