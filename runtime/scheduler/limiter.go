package scheduler

import "slices"

// limiter keeps a predicted original sample within bounds: clipping to a fixed range, or dynamic
// thresholding (arXiv:2205.11487, section 2.3), which looks at one image at a time.
type limiter struct {
	clip      float32 // 0: off
	threshold bool
	ratio     float64
	most      float32
	batch     int
	scratch   []float32
}

// newLimiter reads the options of c; those a scheduler does not have are off.
func newLimiter(c *Config, batch int) limiter {
	l := limiter{batch: max(batch, 1)}
	if val(c.Thresholding) {
		l.threshold, l.ratio, l.most = true, val(c.DynamicThresholdingRatio), float32(val(c.SampleMaxValue))
	} else if val(c.ClipSample) {
		l.clip = float32(val(c.ClipSampleRange))
	}
	return l
}

func (l *limiter) active() bool { return l.threshold || l.clip > 0 }

// apply bounds x in place.
func (l *limiter) apply(x []float32) {
	switch {
	case l.threshold:
		n := len(x) / l.batch
		if len(l.scratch) < n {
			l.scratch = make([]float32, n)
		}
		for i := range l.batch {
			l.thresholdImage(x[i*n : (i+1)*n])
		}
	case l.clip > 0:
		for i, v := range x {
			x[i] = min(max(v, -l.clip), l.clip)
		}
	}
}

func (l *limiter) thresholdImage(x []float32) {
	a := l.scratch[:len(x)]
	for i, v := range x {
		a[i] = max(v, -v)
	}
	s := min(max(quantile(a, l.ratio), 1), l.most)
	for i, v := range x {
		x[i] = min(max(v, -s), s) / s
	}
}

// quantile is torch.quantile with linear interpolation; it sorts a.
func quantile(a []float32, q float64) float32 {
	slices.Sort(a)
	rank := q * float64(len(a)-1)
	k := int(rank)
	if k+1 >= len(a) {
		return a[k]
	}
	w := float32(rank - float64(k))
	return a[k] + float32(w*(a[k+1]-a[k]))
}
