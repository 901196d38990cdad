package scheduler

// whole is a sample with what rounding to float32 took from it, which the next step may multiply (see vpSpace.steep). rest is nil where
// that is not kept.
type whole struct{ v, rest []float32 }

// resize makes room for n values, and for their rests where they are to be kept.
func (w *whole) resize(n int, rest bool) {
	w.v = sized(w.v, n)
	if rest {
		w.rest = sized(w.rest, n)
	}
}

// set takes over a sample that has no rest.
func (w *whole) set(sample []float32) {
	copy(w.v, sample)
	clear(w.rest)
}

// copyFrom takes over another sample.
func (w *whole) copyFrom(x whole) {
	copy(w.v, x.v)
	copy(w.rest, x.rest)
}

// combineCorrected is combineHistory of a sample that was corrected.
func combineCorrected(dst whole, cx float64, x whole, w []float64, h *history, cz float64, z []float32) {
	if x.rest == nil {
		combineHistory(dst.v, cx, x.v, w, h, cz, z)
		return
	}
	h.combineWhole(dst, cx, x, w, cz, z)
}
