package scheduler

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

// quantile is torch.quantile with linear interpolation; it reorders a.
func quantile(a []float32, q float64) float32 {
	rank := q * float64(len(a)-1)
	k := int(rank)
	lo := selectKth(a, k)
	if k+1 >= len(a) {
		return lo
	}
	hi := a[k+1]
	for _, v := range a[k+1:] {
		hi = min(hi, v)
	}
	w := float32(rank - float64(k))
	return lo + float32(w*(hi-lo))
}

// selectKth puts the k-th smallest value (from 0) at index k, smaller ones before it and larger ones after
// it, and returns it.
func selectKth(a []float32, k int) float32 {
	lo, hi := 0, len(a)-1
	for lo < hi {
		// the median of three keeps sorted input from being the worst case
		mid := lo + (hi-lo)/2
		if a[mid] < a[lo] {
			a[mid], a[lo] = a[lo], a[mid]
		}
		if a[hi] < a[lo] {
			a[hi], a[lo] = a[lo], a[hi]
		}
		if a[hi] < a[mid] {
			a[hi], a[mid] = a[mid], a[hi]
		}
		pivot := a[mid]
		i, j := lo, hi
		for i <= j {
			for a[i] < pivot {
				i++
			}
			for a[j] > pivot {
				j--
			}
			if i <= j {
				a[i], a[j] = a[j], a[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			hi = j
		case k >= i:
			lo = i
		default:
			return a[k]
		}
	}
	return a[k]
}
