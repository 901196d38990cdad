package scheduler

// lmsDiscrete is the linear multistep method of k-diffusion: the slopes of the last steps are interpolated
// by a polynomial, which is integrated over the step.
//
// When a run starts in the middle (image-to-image), diffusers uses coefficients of full order from the
// first step on although the earlier slopes do not exist; here the order grows with the slopes.
var lmsDiscrete = method{
	start: veStart(func(c *Config, v veSpace) solver {
		order := val(c.LMSOrder)
		return &lms{veSpace: v, slopes: newHistory(order), weights: make([]float64, order)}
	}),
}

type lms struct {
	veSpace
	slopes  history
	weights []float64
}

func (l *lms) reset(_, n int) { l.slopes.reset(n) }

func (l *lms) step(dst, out, sample, _ []float32, i int) {
	sigma := l.sigmas[i]
	d := l.slopes.push()
	l.original(d, out, sample, i)
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
