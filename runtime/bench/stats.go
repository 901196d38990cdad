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
	q := stats.Quantiles(values, 0, 0.25, 0.5, 0.75, 1)
	return summary{N: len(values), Min: q[0], Q1: q[1], Median: q[2], Q3: q[3], Max: q[4]}
}

// Spread is half the distance of the quartiles over the median: 0.05 reads "about 5 % up or down".
func (s summary) Spread() float64 {
	if s.Median == 0 {
		return 0
	}
	return (s.Q3 - s.Q1) / 2 / s.Median
}

// difference is benchstat's comparison of two samples: the two-sided Mann-Whitney U test, which assumes no distribution. enough
// tells whether samples of these sizes can be told apart at alpha at all.
func difference(a, b []float64, alpha float64) (p float64, enough bool) {
	thresholds := benchmath.DefaultThresholds
	thresholds.CompareAlpha = alpha
	c := benchmath.AssumeNothing.Compare(benchmath.NewSample(slices.Clone(a), &thresholds), benchmath.NewSample(slices.Clone(b), &thresholds))
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
