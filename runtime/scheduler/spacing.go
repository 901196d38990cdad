package scheduler

import (
	"math"
	"slices"
)

// spacedTimesteps returns n descending timesteps of the given spacing (arXiv:2305.08891, table 2), not yet
// rounded for "linspace".
func spacedTimesteps(c *Config, n int) []float64 {
	train := val(c.NumTrainTimesteps)
	switch c.TimestepSpacing {
	case "linspace":
		out := linspace(0, float64(train-1), n)
		slices.Reverse(out)
		return out
	case "leading":
		return leadingTimesteps(train/n, n, val(c.StepsOffset), train)
	default: // "trailing"
		return trailingTimesteps(train, train, n)
	}
}

// leadingTimesteps counts 0, ratio, 2*ratio, ... plus offset, and turns round. Where the offset would lead beyond
// training's last timestep it is made smaller (diffusers fails there, or asks the model about a timestep
// it was never trained for).
func leadingTimesteps(ratio, n, offset, train int) []float64 {
	offset = max(min(offset, train-1-(n-1)*ratio), 0)
	out := make([]float64, n)
	for i := range out {
		out[i] = float64((n-1-i)*ratio + offset)
	}
	return out
}

// trailingTimesteps counts down from last in steps of train/n, rounding half to even, and subtracts 1: what The values of
// numpy.arange(last, 0, -train/n).round() - 1. For some n rounding errors add a value below 0 (61 of 1000: diffusers makes one more
// evaluation, at timestep -1); that value is left out. arange multiplies the difference of its first two values. Rounding makes this
// difference a little different from the step. It matters if a value is halfway between two whole numbers (48 and 96 of 1000).
func trailingTimesteps(last, train, n int) []float64 {
	start, step := float64(last), float64(train)/float64(n)
	count := int(math.Ceil(start / step))
	step = start - (start - step)
	out := make([]float64, 0, count)
	for i := range count {
		if t := math.RoundToEven(start-float64(float64(i)*step)) - 1; t >= 0 {
			out = append(out, t)
		}
	}
	return out
}

// roundEven rounds every value to the nearest whole number, half to even, in place and returns s.
func roundEven(s []float64) []float64 { return each(s, math.RoundToEven) }

// truncate drops the fractions in place and returns s.
func truncate(s []float64) []float64 { return each(s, math.Trunc) }
