package reuse

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	steps  = 30
	values = 16
)

// series is that of tools/goldens/caches/caches.cpp: the input (0), the positive half (1) and the negative one (2) of a step.
func series(which, step int) []float32 {
	at := float64(step) / steps
	out := make([]float32, values)
	for i := range out {
		out[i] = float32(math.Sin(0.7*float64(i)+2.5*at*at+float64(which))*(1.2-0.5*at) + 0.1*float64(which)*math.Cos(9*at+float64(i)))
	}
	return out
}

// golden is what stable-diffusion.cpp's cache does with the series.
type golden struct {
	Cache     string
	Threshold float64
	Skipped   []int
	Predicted []float32 // of the last step that was left out: both halves
}

// TestGoldens compares decisions and predictions with those of stable-diffusion.cpp's headers, compiled by tools/goldens/caches.
func TestGoldens(t *testing.T) {
	data, err := os.ReadFile("testdata/caches.json")
	require.NoError(t, err)
	var all []golden
	require.NoError(t, json.Unmarshal(data, &all))
	require.Len(t, all, 16)
	for _, g := range all {
		t.Run(fmt.Sprint(g.Cache, g.Threshold), func(t *testing.T) {
			skipped, predicted := []int{}, []float32{}
			switch g.Cache {
			case "easycache":
				skipped, predicted = play(NewEasyCache(g.Threshold, 0.15, 0.95, steps))
			case "ucache":
				skipped, predicted = play(NewUCache(g.Threshold, 0.15, 0.95, steps))
			case "spectrum":
				s := NewSpectrum(int(g.Threshold), steps)
				for step := range steps {
					out := series(1, step)
					if !s.Skip() {
						s.Learn(out)
						continue
					}
					s.Predict(out)
					skipped, predicted = append(skipped, step), out
				}
			}
			assert.Equal(t, g.Skipped, skipped)
			assert.InDeltaSlice(t, g.Predicted, predicted, 1e-5)
		})
	}
}

// play shows a method the series. It returns the steps that were left out, and what the last of them was predicted to be.
func play(p Pictures) ([]int, []float32) {
	skipped, last := []int{}, []float32{}
	for step := range steps {
		input, outputs := series(0, step), [][]float32{series(1, step), series(2, step)}
		if !p.Skip(step, input) {
			p.Learn(step, input, outputs, 0)
			continue
		}
		p.Predict(input, outputs)
		skipped, last = append(skipped, step), append(append([]float32{}, outputs[0]...), outputs[1]...)
	}
	return skipped, last
}

// TestThresholds: a higher threshold leaves out as many steps or more, one of 0 none, and outside the window none is left out.
func TestThresholds(t *testing.T) {
	for name, of := range map[string]func(threshold, start, stop float64) Pictures{
		"easycache": func(threshold, start, stop float64) Pictures { return NewEasyCache(threshold, start, stop, steps) },
		"ucache":    func(threshold, start, stop float64) Pictures { return NewUCache(threshold, start, stop, steps) },
	} {
		before := 0
		for _, threshold := range []float64{0, 0.1, 0.3, 1, 3, 100} {
			skipped, _ := play(of(threshold, 0.2, 0.8))
			assert.GreaterOrEqual(t, len(skipped), before, "%s %v", name, threshold)
			before = len(skipped)
			for _, step := range skipped {
				assert.True(t, step >= 6 && step < 24, "%s left out step %d", name, step)
			}
		}
		none, _ := play(of(0, 0, 1))
		assert.Empty(t, none, name)
		assert.Positive(t, before, name)
	}
}

// TestNotANumber: outputs that are not finite leave nothing out for good.
func TestNotANumber(t *testing.T) {
	nan := float32(math.NaN())
	for _, p := range []Pictures{NewEasyCache(1, 0, 1, steps), NewUCache(1, 0, 1, steps)} {
		for step := range steps {
			input := []float32{float32(step), nan}
			if p.Skip(step, input) {
				t.Fatalf("step %d was left out", step)
			}
			p.Learn(step, input, [][]float32{{nan, nan}}, 0)
		}
	}
}
