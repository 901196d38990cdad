package reuse

import "math"

// The constants of UCache, as stable-diffusion.cpp has them.
const (
	ucacheEarly, ucacheLate   = 0.5, 1.5 // of the threshold, in the first and the last fifth
	ucacheGain                = 1.6      // of the running mean of changes
	ucacheStreak              = 0.5      // more error for each step that was left out before
	ucacheKept, ucacheNew     = 0.8, 0.2 // of the running mean
	ucacheFirst, ucacheFourth = 0.2, 0.8 // where early ends and late begins
)

// UCache is EasyCache for UNets, as stable-diffusion.cpp has it. The change is relative to the output's size and to the running mean of its
// changes, a streak of steps that are left out counts more and more, and the threshold is lower at first.
type UCache struct {
	differences
	trend     trend
	window    window
	steps     int
	threshold float64
	sum       float64
	running   float64 // mean of the output's changes; 0: none yet
	streak    int
	made      int // evaluations
}

// NewUCache makes the state for a picture of so many steps. Steps are left out in the part of them from start to stop.
func NewUCache(threshold, start, stop float64, steps int) *UCache {
	return &UCache{threshold: threshold, window: newWindow(start, stop, steps), steps: steps}
}

// limit is the threshold now.
func (c *UCache) limit() float64 {
	switch progress := float64(c.made) / float64(max(c.steps, 1)); {
	case progress < ucacheFirst:
		return c.threshold * ucacheEarly
	case progress > ucacheFourth:
		return c.threshold * ucacheLate
	}
	return c.threshold
}

// Skip implements [Pictures].
func (c *UCache) Skip(step int, input []float32) bool {
	if !c.window.has(step) {
		return false
	}
	estimate := c.trend.measure(input)
	if estimate <= 0 || c.trend.norm <= 0 {
		return false
	}
	const least = 1e-6
	scale := max(c.trend.norm, least)
	other := scale
	if c.running > 0 {
		other = max(c.running*ucacheGain, least)
	}
	c.sum += estimate / math.Sqrt(scale*other) * (1 + ucacheStreak*float64(c.streak))
	if c.sum < c.limit() {
		c.streak++
		return true
	}
	c.sum = 0
	return false
}

// Learn implements [Pictures].
func (c *UCache) Learn(step int, input []float32, outputs [][]float32, anchor int) {
	if !c.window.has(step) {
		return
	}
	c.learn(input, outputs)
	c.made++
	c.streak = 0
	c.trend.learn(input, outputs[anchor])
	if change := c.trend.output1; change > 0 && !math.IsInf(change, 0) {
		if c.running == 0 {
			c.running = change
		} else {
			c.running = ucacheKept*c.running + ucacheNew*change
		}
	}
}
