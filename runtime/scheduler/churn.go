package scheduler

import "math"

// churn adds noise before a step and takes it away in the step (arXiv:2206.00364, algorithm 2): s_churn is its total
// amount over a run, s_tmin and s_tmax the noise levels it is used at, s_noise its standard deviation.
type churn struct {
	amount, tmin, tmax float64
	noise              float32
}

// newChurn shares s_churn out among the steps.
func newChurn(c *Config, steps int) churn {
	return churn{
		amount: math.Min(val(c.SChurn)/float64(steps), math.Sqrt2-1),
		tmin:   val(c.STmin), tmax: val(c.STmax), noise: float32(val(c.SNoise)),
	}
}

// gamma is how much the level is raised by at sigma, relative to it.
func (c *churn) gamma(sigma float32) float64 {
	if s := float64(sigma); s < c.tmin || s > c.tmax {
		return 0
	}
	return c.amount
}

// add raises sample to a higher level with noise, into dst, and returns the level.
func (c *churn) add(dst, sample, noise []float32, sigma float32) float32 {
	hat := sigma * float32(c.gamma(sigma)+1)
	up := sqrt32(float32(hat*hat) - float32(sigma*sigma))
	for j, x := range sample {
		dst[j] = x + float32(float32(noise[j]*c.noise)*up)
	}
	return hat
}
