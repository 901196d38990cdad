// Package reuse decides which evaluations of a UNet may be left out, and predicts what they would have said. It is pure arithmetic on the
// inputs and outputs of evaluations: it knows no model. Two kinds of methods exist. EasyCache and UCache estimate from the inputs how much
// the output has changed. Spectrum follows a plan, and extrapolates.
package reuse

import "math"

// Pictures is the state of EasyCache or UCache for one picture. It belongs to one loop.
type Pictures interface {
	// Skip reports whether the evaluation of a step may be left out. Steps count from 0.
	Skip(step int, input []float32) bool
	// Predict writes what the evaluation that was left out would have said. There is one output for each half of guidance.
	Predict(input []float32, outputs [][]float32)
	// Learn takes over an evaluation that was made. anchor is the output that changes are measured on: the positive half's.
	Learn(step int, input []float32, outputs [][]float32, anchor int)
}

// differences are the outputs less the input, as the last evaluation had them. A prediction adds them to its own input.
type differences [][]float32

func (d *differences) learn(input []float32, outputs [][]float32) {
	if len(*d) != len(outputs) {
		*d = make(differences, len(outputs))
	}
	for k, out := range outputs {
		if len((*d)[k]) != len(out) {
			(*d)[k] = make([]float32, len(out))
		}
		for i, v := range out {
			(*d)[k][i] = v - input[i]
		}
	}
}

// Predict implements [Pictures].
func (d differences) Predict(input []float32, outputs [][]float32) {
	for k, out := range outputs {
		for i := range out {
			out[i] = input[i] + d[k][i]
		}
	}
}

// trend is how much an output changes for a change of the input.
type trend struct {
	input, output []float32 // of the last evaluation
	norm          float64   // mean of the output's absolute values
	change        float64   // of the input, that the last Skip found; 0: none
	output1       float64   // change of the output at the last evaluation
	rate          float64   // of the output's change to the input's; 0: not known
}

// measure compares an input with that of the last evaluation. It returns the output's estimated change; 0 where there is no estimate.
func (t *trend) measure(input []float32) float64 {
	if len(t.input) != len(input) {
		return 0
	}
	t.change = distance(input, t.input)
	return t.rate * t.change
}

// learn takes over an evaluation.
func (t *trend) learn(input, output []float32) {
	t.output1 = 0
	if len(t.output) == len(output) {
		t.output1 = distance(output, t.output)
	}
	t.input, t.output = append(t.input[:0], input...), append(t.output[:0], output...)
	t.norm = mean(output)
	if t.change > 0 && t.output1 > 0 {
		if rate := t.output1 / t.change; !math.IsInf(rate, 0) && !math.IsNaN(rate) {
			t.rate = rate
		}
	}
	t.change = 0
}

// distance is the mean of the absolute differences.
func distance(a, b []float32) float64 {
	var sum float64
	for i, v := range a {
		sum += math.Abs(float64(v) - float64(b[i]))
	}
	return sum / float64(max(len(a), 1))
}

// mean is the mean of the absolute values.
func mean(a []float32) float64 {
	var sum float64
	for _, v := range a {
		sum += math.Abs(float64(v))
	}
	return sum / float64(max(len(a), 1))
}

// window is the part of the steps in which evaluations may be left out.
type window struct{ first, end int }

func newWindow(start, stop float64, steps int) window {
	return window{int(start * float64(steps)), int(stop * float64(steps))}
}

func (w window) has(step int) bool { return step >= w.first && step < w.end }
