package scheduler

// combine2 .. combine5 write weighted sums of samples, accumulated in float64. dst may be one of the
// inputs. They are the inner loops of all schedulers whose step is a linear combination. combine3's z may be nil.

func combine2(dst []float32, a float64, x []float32, b float64, y []float32) {
	x, y = x[:len(dst)], y[:len(dst)]
	for i := range dst {
		dst[i] = float32(a*float64(x[i]) + b*float64(y[i]))
	}
}

func combine3(dst []float32, a float64, x []float32, b float64, y []float32, c float64, z []float32) {
	if z == nil {
		combine2(dst, a, x, b, y)
		return
	}
	x, y, z = x[:len(dst)], y[:len(dst)], z[:len(dst)]
	for i := range dst {
		dst[i] = float32(a*float64(x[i]) + b*float64(y[i]) + c*float64(z[i]))
	}
}

func combine4(dst []float32, a float64, x []float32, b float64, y []float32, c float64, z []float32, d float64, w []float32) {
	x, y, z, w = x[:len(dst)], y[:len(dst)], z[:len(dst)], w[:len(dst)]
	for i := range dst {
		dst[i] = float32(a*float64(x[i]) + b*float64(y[i]) + c*float64(z[i]) + d*float64(w[i]))
	}
}

func combine5(dst []float32, a float64, x []float32, b float64, y []float32, c float64, z []float32, d float64, w []float32,
	e float64, v []float32) {
	x, y, z, w, v = x[:len(dst)], y[:len(dst)], z[:len(dst)], w[:len(dst)], v[:len(dst)]
	for i := range dst {
		dst[i] = float32(a*float64(x[i]) + b*float64(y[i]) + c*float64(z[i]) + d*float64(w[i]) + e*float64(v[i]))
	}
}

// addScaled adds a*x to dst.
func addScaled(dst []float32, a float64, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = float32(float64(dst[i]) + a*float64(x[i]))
	}
}

// combineHistory writes cx*x + sum of w[k]*h.at(k) + cz*z; z may be nil.
func combineHistory(dst []float32, cx float64, x []float32, w []float64, h *history, cz float64, z []float32) {
	if h.rest != nil {
		h.combineWhole(whole{v: dst}, cx, whole{v: x}, w, cz, z)
		return
	}
	switch len(w) {
	case 1:
		combine2(dst, cx, x, w[0], h.at(0))
	case 2:
		combine3(dst, cx, x, w[0], h.at(0), w[1], h.at(1))
	case 3:
		combine4(dst, cx, x, w[0], h.at(0), w[1], h.at(1), w[2], h.at(2))
	default:
		combine5(dst, cx, x, w[0], h.at(0), w[1], h.at(1), w[2], h.at(2), w[3], h.at(3))
		for k := 4; k < len(w); k++ {
			addScaled(dst, w[k], h.at(k))
		}
	}
	if z != nil && cz != 0 {
		addScaled(dst, cz, z)
	}
}

// history keeps the last few samples of a run; at(0) is the newest.
type history struct {
	bufs [][]float32
	rest [][]float32 // the part of each of bufs that rounding to float32 removed; nil: not kept
	n    int         // how many have been pushed since reset, at most len(bufs)
}

func newHistory(depth int) history { return history{bufs: make([][]float32, depth)} }

func (h *history) reset(size int) {
	h.n = 0
	for i, b := range h.bufs {
		h.bufs[i] = sized(b, size)
	}
	for i, b := range h.rest {
		h.rest[i] = sized(b, size)
	}
}

// push makes room for a new sample, forgetting the oldest, and returns it to be filled.
func (h *history) push() []float32 {
	h.n = min(h.n+1, len(h.bufs))
	if h.rest != nil {
		clear(rotate(h.rest))
	}
	return rotate(h.bufs)
}

// rotate puts the last first, and returns it.
func rotate(bufs [][]float32) []float32 {
	last := len(bufs) - 1
	b := bufs[last]
	copy(bufs[1:], bufs[:last])
	bufs[0] = b
	return b
}

func (h *history) at(k int) []float32 { return h.bufs[k] }

// combine2 makes the newest sample a*x + b*y.
func (h *history) combine2(a float64, x []float32, b float64, y []float32) {
	dst := h.at(0)
	if h.rest == nil {
		combine2(dst, a, x, b, y)
		return
	}
	x, y, rest := x[:len(dst)], y[:len(dst)], h.rest[0]
	for i := range dst {
		v := a*float64(x[i]) + b*float64(y[i])
		dst[i] = float32(v)
		rest[i] = float32(v - float64(dst[i]))
	}
}

// combineWhole is combineHistory with the rests, rounded once: the next step may multiply the rounding of this one too.
func (h *history) combineWhole(dst whole, cx float64, x whole, w []float64, cz float64, z []float32) {
	for i := range dst.v {
		sum := cx * float64(x.v[i])
		if x.rest != nil {
			sum += cx * float64(x.rest[i])
		}
		for k := range w {
			sum += w[k] * (float64(h.bufs[k][i]) + float64(h.rest[k][i]))
		}
		if z != nil && cz != 0 {
			sum += cz * float64(z[i])
		}
		dst.v[i] = float32(sum)
		if dst.rest != nil {
			dst.rest[i] = float32(sum - float64(dst.v[i]))
		}
	}
}

// sized returns b, or a new slice when b has another length.
func sized(b []float32, n int) []float32 {
	if len(b) == n {
		return b
	}
	return make([]float32, n)
}
