package scheduler

import "math"

// spacedTimesteps returns n descending timesteps of the given spacing (arXiv:2305.08891, table 2), not yet
// rounded for "linspace".
func spacedTimesteps(c *Config, n int) []float64 {
	train := val(c.NumTrainTimesteps)
	switch c.TimestepSpacing {
	case "linspace":
		out := linspace(0, float64(train-1), n)
		reverse(out)
		return out
	case "leading":
		return leadingTimesteps(train/n, n, val(c.StepsOffset))
	default: // "trailing"
		out := trailingTimesteps(train, n)
		for i := range out {
			out[i]--
		}
		return out
	}
}

// leadingTimesteps counts 0, ratio, 2*ratio, ... and turns round.
func leadingTimesteps(ratio, n, offset int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = float64((n-1-i)*ratio + offset)
	}
	return out
}

// trailingTimesteps counts down from train in steps of train/n, rounding half to even: what
// numpy.arange(train, 0, -train/n).round() yields, whose length is ceil(train/step).
func trailingTimesteps(train, n int) []float64 {
	step := float64(train) / float64(n)
	count := int(math.Ceil(float64(train) / step))
	out := make([]float64, count)
	for i := range out {
		out[i] = math.RoundToEven(float64(train) - float64(float64(i)*step))
	}
	return out
}
