package reuse

// EasyCache is the method of arXiv 2507.02860. The change of the output, relative to its size, is estimated from the input's change, by the
// rate that the last evaluations had. Estimates add up over the steps that are left out, until they reach the threshold.
type EasyCache struct {
	differences
	trend     trend
	window    window
	threshold float64
	sum       float64
}

// NewEasyCache makes the state for a picture of so many steps. Steps are left out in the part of them from start to stop.
func NewEasyCache(threshold, start, stop float64, steps int) *EasyCache {
	return &EasyCache{threshold: threshold, window: newWindow(start, stop, steps)}
}

// Skip implements [Pictures].
func (c *EasyCache) Skip(step int, input []float32) bool {
	if !c.window.has(step) {
		return false
	}
	estimate := c.trend.measure(input)
	if estimate <= 0 || c.trend.norm <= 0 {
		return false
	}
	c.sum += estimate / c.trend.norm
	if c.sum < c.threshold {
		return true
	}
	c.sum = 0
	return false
}

// Learn implements [Pictures].
func (c *EasyCache) Learn(step int, input []float32, outputs [][]float32, anchor int) {
	if !c.window.has(step) {
		return
	}
	c.learn(input, outputs)
	c.trend.learn(input, outputs[anchor])
	c.sum = 0
}
