package vae

import "github.com/daguerre-go/daguerre/runtime/backend"

// pool combines the statistics of disjoint parts of a picture into those of the whole, by their areas:
// the mean of means, and E[x^2] - E[x]^2.
type pool struct {
	area float64
	mean []float64 // weighted by area, and
	raw  []float64 // the second moment likewise
}

// add takes in a part: s holds mean and variance in turn.
func (p *pool) add(s backend.NormStatistics, area float64) {
	if p.mean == nil {
		p.mean, p.raw = make([]float64, len(s)/2), make([]float64, len(s)/2)
	}
	p.area += area
	for i := range p.mean {
		mean, variance := float64(s[2*i]), float64(s[2*i+1])
		p.mean[i] += area * mean
		p.raw[i] += area * (variance + mean*mean)
	}
}

// statistics returns those of everything that was added.
func (p *pool) statistics() backend.NormStatistics {
	s := make(backend.NormStatistics, 2*len(p.mean))
	for i := range p.mean {
		mean := p.mean[i] / p.area
		s[2*i], s[2*i+1] = float32(mean), float32(max(p.raw[i]/p.area-mean*mean, 0))
	}
	return s
}
