package bench

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSummarize(t *testing.T) {
	values := []float64{4, 1, 3, 2, 10}
	s := summarize(values)
	assert.Equal(t, summary{N: 5, Median: 3, Q1: 2, Q3: 4, Min: 1, Max: 10}, s)
	assert.Equal(t, []float64{4, 1, 3, 2, 10}, values, "left as they were")
	assert.InDelta(t, 1.0/3, s.Spread(), 1e-12)
	assert.Equal(t, summary{N: 2, Median: 1.5, Q1: 1.25, Q3: 1.75, Min: 1, Max: 2}, summarize([]float64{2, 1}))
	assert.Equal(t, summary{N: 1, Median: 7, Q1: 7, Q3: 7, Min: 7, Max: 7}, summarize([]float64{7}))
	assert.Zero(t, summarize(nil))
	assert.Zero(t, summary{}.Spread())
}

// Values of the exact test, from tables: 2/(8 over 4) and 2/(6 over 3) where samples do not overlap.
func TestDifference(t *testing.T) {
	p, enough := difference([]float64{1, 2, 3, 4}, []float64{5, 6, 7, 8}, 0.05)
	assert.InDelta(t, 2.0/70, p, 1e-9)
	assert.True(t, enough)
	p, enough = difference([]float64{1, 2, 3}, []float64{5, 6, 7}, 0.05)
	assert.InDelta(t, 0.1, p, 1e-9)
	assert.False(t, enough, "three of each can never be told apart")
	p, _ = difference([]float64{1, 3, 5, 7}, []float64{2, 4, 6, 8}, 0.05)
	assert.Greater(t, p, 0.5)
}
