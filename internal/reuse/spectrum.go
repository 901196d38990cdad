package reuse

import "math"

// The constants of Spectrum, as stable-diffusion.cpp has them.
const (
	spectrumDegree  = 3   // of the polynomials
	spectrumHistory = 6   // evaluations that count
	spectrumRidge   = 1.0 // regularization of the fit
	spectrumShare   = 0.4 // of the polynomials; the rest is a line through the last two
	spectrumLine    = 0.5 // how far the line goes on
	spectrumWarmUp  = 4   // steps that are always evaluated
	spectrumGrowth  = 0.5 // of the window, for each evaluation
	spectrumStop    = 0.9 // the part of the steps from which on all are evaluated
	spectrumUnit    = 50  // steps are divided by it
)

// Spectrum predicts outputs by ridge regression on Chebyshev polynomials of the step, mixed with a line through the last two. Which steps it predicts depends on their numbers alone: one of `window` is evaluated, and the window grows.
type Spectrum struct {
	window  float64
	stop    int
	step    int
	skipped int // since the last evaluation
	outputs [][]float32
	times   []float64
}

// NewSpectrum makes the state of a loop of so many steps.
func NewSpectrum(window, steps int) *Spectrum {
	return &Spectrum{window: float64(window), stop: int(spectrumStop * float64(steps))}
}

// Skip reports whether the next evaluation may be left out.
func (s *Spectrum) Skip() bool {
	if s.step < spectrumWarmUp || s.step >= s.stop || len(s.outputs) < 2 {
		return false
	}
	return (s.skipped+1)%max(int(s.window), 1) != 0
}

// Learn takes over an evaluation.
func (s *Spectrum) Learn(output []float32) {
	kept := append([]float32(nil), output...)
	s.outputs, s.times = append(s.outputs, kept), append(s.times, s.time())
	if n := len(s.outputs) - spectrumHistory; n > 0 {
		s.outputs, s.times = s.outputs[n:], s.times[n:]
	}
	if s.step >= spectrumWarmUp {
		s.window += spectrumGrowth
	}
	s.skipped = 0
	s.step++
}

// Restart forgets what was learnt, for outputs that do not go on as before.
func (s *Spectrum) Restart() { s.outputs, s.times, s.skipped = nil, nil, 0 }

// Predict writes the next output and ends its step.
func (s *Spectrum) Predict(output []float32) {
	weights := s.weights()
	last, before := s.outputs[len(s.outputs)-1], s.outputs[len(s.outputs)-2]
	for i := range output {
		var fit float64
		for k, w := range weights {
			fit += w * float64(s.outputs[k][i])
		}
		line := float64(last[i]) + spectrumLine*(float64(last[i])-float64(before[i]))
		output[i] = float32((1-spectrumShare)*line + spectrumShare*fit)
	}
	s.skipped++
	s.step++
}

// time is where the step is on the polynomials' axis.
func (s *Spectrum) time() float64 { return float64(s.step)/spectrumUnit*2 - 1 }

// chebyshev returns the polynomials of degrees 0 to spectrumDegree at t.
func chebyshev(t float64) [spectrumDegree + 1]float64 {
	p := [spectrumDegree + 1]float64{1, t}
	for j := 2; j < len(p); j++ {
		p[j] = 2*t*p[j-1] - p[j-2]
	}
	return p
}

// weights are those of the outputs in the fit's value at the next step: X (X'X + ridge I)^-1 x.
func (s *Spectrum) weights() []float64 {
	rows := make([][spectrumDegree + 1]float64, len(s.times))
	var normal [spectrumDegree + 1][spectrumDegree + 1]float64
	for k, t := range s.times {
		rows[k] = chebyshev(t)
		for i := range normal {
			for j := range normal {
				normal[i][j] += rows[k][i] * rows[k][j]
			}
		}
	}
	for i := range normal {
		normal[i][i] += spectrumRidge
	}
	v := solve(normal, chebyshev(s.time()))
	weights := make([]float64, len(rows))
	for k, row := range rows {
		for j := range v {
			weights[k] += row[j] * v[j]
		}
	}
	return weights
}

// solve solves a x = b for a symmetric, positive definite a, by Cholesky's decomposition.
func solve(a [spectrumDegree + 1][spectrumDegree + 1]float64, b [spectrumDegree + 1]float64) (x [spectrumDegree + 1]float64) {
	n := len(a)
	for i := range n { // a becomes its lower triangle
		for j := range i + 1 {
			sum := a[i][j]
			for k := range j {
				sum -= a[i][k] * a[j][k]
			}
			if i == j {
				a[i][i] = math.Sqrt(sum)
			} else {
				a[i][j] = sum / a[j][j]
			}
		}
	}
	for i := range n {
		x[i] = b[i]
		for j := range i {
			x[i] -= a[i][j] * x[j]
		}
		x[i] /= a[i][i]
	}
	for i := n - 1; i >= 0; i-- {
		for j := i + 1; j < n; j++ {
			x[i] -= a[j][i] * x[j]
		}
		x[i] /= a[i][i]
	}
	return x
}
