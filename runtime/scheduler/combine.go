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
	n    int // how many have been pushed since reset, at most len(bufs)
}

func newHistory(depth int) history { return history{bufs: make([][]float32, depth)} }

func (h *history) reset(size int) {
	h.n = 0
	for i, b := range h.bufs {
		h.bufs[i] = sized(b, size)
	}
}

// push makes room for a new sample, forgetting the oldest, and returns it to be filled.
func (h *history) push() []float32 {
	last := len(h.bufs) - 1
	b := h.bufs[last]
	copy(h.bufs[1:], h.bufs[:last])
	h.bufs[0] = b
	h.n = min(h.n+1, len(h.bufs))
	return b
}

func (h *history) at(k int) []float32 { return h.bufs[k] }

// sized returns b, or a new slice when b has another length.
func sized(b []float32, n int) []float32 {
	if len(b) == n {
		return b
	}
	return make([]float32, n)
}
