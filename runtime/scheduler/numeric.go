package scheduler

import (
	"math"
)

// The helpers in this file do single operations the way torch and numpy do them in float32 or float64.
// Explicit float32 conversions keep the compiler from fusing operations on those architectures where it may.

func sqrt32(x float32) float32 { return float32(math.Sqrt(float64(x))) }
func log32(x float32) float32  { return float32(math.Log(float64(x))) }
func exp32(x float32) float32  { return float32(math.Exp(float64(x))) }

// linspace32 is torch.linspace in float32: the first half counts up from start, the second down from end.
func linspace32(start, end float32, n int) []float32 {
	out := make([]float32, n)
	if n == 1 {
		out[0] = start
		return out
	}
	step := float32(end-start) / float32(n-1)
	for i := range out {
		if i < n/2 {
			out[i] = float32(math.FMA(float64(step), float64(i), float64(start)))
		} else {
			out[i] = float32(math.FMA(-float64(step), float64(n-1-i), float64(end)))
		}
	}
	return out
}

// linspace is numpy.linspace in float64; n = 1 yields start alone.
func linspace(start, end float64, n int) []float64 {
	out := make([]float64, n)
	if n == 1 {
		out[0] = start
		return out
	}
	step := (end - start) / float64(n-1)
	for i := range out {
		out[i] = float64(float64(i)*step) + start
	}
	out[n-1] = end
	return out
}

// interpAt is numpy.interp over the points (0, y[0]), (1, y[1]), ..., held constant outside.
func interpAt(x float64, y []float32) float64 {
	if x <= 0 {
		return float64(y[0])
	}
	if x >= float64(len(y)-1) {
		return float64(y[len(y)-1])
	}
	i := int(x)
	slope := float64(y[i+1]) - float64(y[i])
	return float64(slope*(x-float64(i))) + float64(y[i])
}

// each replaces every value by f of it, in place, and returns s.
func each[F float32 | float64](s []F, f func(F) F) []F {
	for i, v := range s {
		s[i] = f(v)
	}
	return s
}

// round32 rounds every value to float32 in place and returns s.
func round32(s []float64) []float64 {
	return each(s, func(v float64) float64 { return float64(float32(v)) })
}

// val returns what p points to, or the zero value.
func val[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// narrow rounds to float32.
func narrow(s []float64) []float32 {
	out := make([]float32, len(s))
	for i, v := range s {
		out[i] = float32(v)
	}
	return out
}
