package scheduler

import "strings"

// Models that learn their variance (arXiv:2102.09672) yield twice as many channels as the sample has, [N, 2C, H, W]: for
// each picture first the prediction, then the variance. Only DDPM uses the variance; the others drop it.

// learns tells whether the options ask for such a model.
func (c *Config) learns() bool {
	return c.VarianceType == "learned" || c.VarianceType == "learned_range"
}

// dropFixedVariance unsets DDPM's words for variances that are not learned. They mean nothing to other schedulers,
// as in diffusers.
func (c *Config) dropFixedVariance() {
	if strings.HasPrefix(c.VarianceType, "fixed_") {
		c.VarianceType = ""
	}
}

// varianceTaker is a solver that uses the learned variance. takeVariance gives it that of the coming step, in the
// sample's order.
type varianceTaker interface{ takeVariance(v []float32) }

// learnedOutput splits outputs of such models.
type learnedOutput struct{ prediction, variance []float32 }

// split returns the prediction of a batch's output; l.variance is valid until the next split.
func (l *learnedOutput) split(out []float32, batch int) []float32 {
	l.prediction, l.variance = sized(l.prediction, len(out)/2), sized(l.variance, len(out)/2)
	n := len(out) / 2 / batch
	for i := range batch {
		copy(l.prediction[i*n:], out[2*i*n:(2*i+1)*n])
		copy(l.variance[i*n:], out[(2*i+1)*n:(2*i+2)*n])
	}
	return l.prediction
}
