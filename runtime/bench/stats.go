package bench

import (
	"slices"

	"golang.org/x/exp/stats"
	"golang.org/x/perf/benchmath"
)

// summary describes repeated measurements of one thing.
type summary struct {
	N      int     `json:"n"`
	Median float64 `json:"median"`
	Q1     float64 `json:"q1"` // lower and upper quartile
	Q3     float64 `json:"q3"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// summarize returns the summary of values, in any order; the zero one of none.
func summarize(values []float64) summary {
	if len(values) == 0 {
		return summary{}
	}
	v := slices.Sorted(slices.Values(values))
	return summary{N: len(v), Median: quantile(v, 0.5), Q1: quantile(v, 0.25), Q3: quantile(v, 0.75), Min: v[0], Max: v[len(v)-1]}
}

// quantile of sorted values, linear between neighbours (R's type 7).
func quantile(v []float64, q float64) float64 {
	at := q * float64(len(v)-1)
	i := int(at)
	if i+1 >= len(v) {
		return v[len(v)-1]
	}
	return v[i] + (at-float64(i))*(v[i+1]-v[i])
}

// Spread is half the distance of the quartiles over the median: 0.05 reads "about 5 % up or down".
func (s summary) Spread() float64 {
	if s.Median == 0 {
		return 0
	}
	return (s.Q3 - s.Q1) / 2 / s.Median
}

// difference is benchstat's comparison of two samples: the two-sided Mann-Whitney U test, which assumes no distribution.
// enough tells whether samples of these sizes can be told apart at alpha at all.
func difference(a, b []float64, alpha float64) (p float64, enough bool) {
	thresholds := benchmath.DefaultThresholds
	thresholds.CompareAlpha = alpha
	sample := func(v []float64) *benchmath.Sample { return benchmath.NewSample(slices.Clone(v), &thresholds) }
	c := benchmath.AssumeNothing.Compare(sample(a), sample(b))
	return c.P, smallestP(len(a), len(b)) <= alpha
}

// smallestP is the p of two samples that do not overlap: 2 / (n+m choose n).
func smallestP(n, m int) float64 {
	ways := 1.0
	for i := range min(n, m) {
		ways *= float64(n+m-i) / float64(i+1)
	}
	return 2 / ways
}
