package scheduler

import "math"

// pndm is the pseudo numerical methods for diffusion models (arXiv:2202.09778): a linear multistep method with
// DDIM's transfer function, begun by three pseudo Runge-Kutta steps of four evaluations, or, with
// skip_prk_steps as for Stable Diffusion (PLMS), by one step made twice.
//
// The Runge-Kutta beginning needs four steps and a run from the start; shorter runs and runs that start in
// the middle begin as with skip_prk_steps, and say so in their notes.
var pndm = method{start: startPNDM}

// prkSteps is the number of Runge-Kutta steps, which yield the slopes that the multistep formula needs.
const prkSteps = 3

func startPNDM(s *sched, o *RunOptions) (*plan, solver, error) {
	c := &s.cfg
	ts := s.discreteTimesteps(o)
	d := &pndmRun{s: s, back: val(c.NumTrainTimesteps) / o.NumInferenceSteps, slopes: newHistory(4)}
	var notes []string
	prk := !val(c.SkipPRKSteps)
	if prk && (len(ts) <= prkSteps || (o.Strength > 0 && o.Strength < 1) || o.DenoisingStart > 0) {
		prk = false
		notes = append(notes, "the Runge-Kutta beginning needs four steps and a run from the start: skip_prk_steps is used")
	}
	timesteps, steps := plmsTimesteps(ts)
	if prk {
		timesteps, steps = prkTimesteps(ts, d.back/2)
		d.prk = 4 * prkSteps
	}
	for _, t := range timesteps {
		d.at = append(d.at, int(t))
	}
	d.alphaSpace = s.newAlphaSpace(timesteps, d.alphaOf(d.at[len(d.at)-1]-d.back), o.BatchSize)
	p, err := s.alphaPlan(timesteps, &d.alphaSpace)
	if err != nil {
		return nil, nil, err
	}
	p.steps, p.notes, p.inferenceSteps = steps, notes, len(ts)
	return p, d, nil
}

// plmsTimesteps makes the first step twice: the second time with the slope at its end.
func plmsTimesteps(ts []float64) (timesteps []float64, steps []int) {
	for k, t := range ts {
		timesteps, steps = append(timesteps, t), append(steps, k)
		if k == 1 {
			timesteps, steps = append(timesteps, t), append(steps, k)
			steps[1] = 0
		}
	}
	return timesteps, steps
}

// prkTimesteps begins with three steps of four evaluations: at the start, twice in the middle, at the end.
func prkTimesteps(ts []float64, half int) (timesteps []float64, steps []int) {
	for k, t := range ts {
		timesteps, steps = append(timesteps, t), append(steps, k)
		if k < prkSteps {
			end := ts[k+1]
			timesteps = append(timesteps, end+float64(half), end+float64(half), end)
			steps = append(steps, k, k, k)
		}
	}
	return timesteps, steps
}

type pndmRun struct {
	alphaSpace
	s               *sched
	back            int   // training timesteps per step
	prk             int   // evaluations of the Runge-Kutta beginning
	at              []int // timestep of each evaluation
	slopes          history
	kept, sum, mean []float32
	begin           int
}

func (d *pndmRun) reset(begin, n int) {
	d.begin = begin
	d.slopes.reset(n)
	d.kept, d.sum, d.mean = sized(d.kept, n), sized(d.sum, n), sized(d.mean, n)
}

func (d *pndmRun) step(dst, out, sample, _ []float32, i int) {
	if i < d.prk {
		d.rungeKutta(dst, out, sample, i)
		return
	}
	t := d.at[i]
	prev := t - d.back
	if i-d.begin == 1 && d.prk == 0 { // the first step again
		combine2(d.mean, 0.5, out, 0.5, d.slopes.at(0))
		d.transfer(dst, d.kept, d.mean, t+d.back, t)
		return
	}
	copy(d.slopes.push(), out)
	if i == d.begin {
		copy(d.kept, sample)
	}
	d.extrapolate()
	d.transfer(dst, sample, d.mean, t, prev)
}

// extrapolate sets mean to the slope over the step by Adams and Bashforth's formula of the order there are
// slopes for.
func (d *pndmRun) extrapolate() {
	s := &d.slopes
	w := adamsBashforth[s.n-1]
	if s.n == 1 {
		copy(d.mean, s.at(0))
		return
	}
	combine2(d.mean, w[0], s.at(0), w[1], s.at(1))
	for k := 2; k < s.n; k++ {
		addScaled(d.mean, w[k], s.at(k))
	}
}

// rungeKutta makes evaluation i of the beginning, from the sample that its step began with.
func (d *pndmRun) rungeKutta(dst, out, sample []float32, i int) {
	first := i / 4 * 4
	from, half := d.at[first], d.back/2
	switch i - first {
	case 0:
		copy(d.kept, sample)
		copy(d.slopes.push(), out)
		combine2(d.sum, 1.0/6, out, 0, out)
		d.transfer(dst, d.kept, out, from, from-half)
	case 1:
		addScaled(d.sum, 1.0/3, out)
		d.transfer(dst, d.kept, out, from, d.at[i])
	case 2:
		addScaled(d.sum, 1.0/3, out)
		d.transfer(dst, d.kept, out, from, d.at[i]-half)
	default:
		addScaled(d.sum, 1.0/6, out)
		d.transfer(dst, d.kept, d.sum, from, d.at[i])
	}
}

// alphaOf is the level at a timestep, which may lie beyond either end.
func (d *pndmRun) alphaOf(t int) float64 {
	if t < 0 {
		return d.s.finalAlpha()
	}
	return d.s.alphaAt(min(t, len(d.s.alphasCumprod)-1))
}

// transfer moves x from one timestep to another along a slope (arXiv:2202.09778, formula 9).
func (d *pndmRun) transfer(dst, x, slope []float32, from, to int) {
	a, b := d.alphaOf(from), d.alphaOf(to)
	denominator := a*math.Sqrt(1-b) + math.Sqrt(a*(1-a)*b)
	c := -(b - a) / denominator
	cx := math.Sqrt(b / a)
	if d.prediction == predictV { // the slope is v: noise = sqrt(a)*v + sqrt(1-a)*x
		cx += c * math.Sqrt(1-a)
		c *= math.Sqrt(a)
	}
	combine2(dst, cx, x, c, slope)
}
