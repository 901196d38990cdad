package adapters

import "github.com/daguerre-go/daguerre/internal/modelfile"

// factor is a matrix [rows, cols, k, k] of which LoHa and LoKr make a change. A file has it whole, or as a product: a [rows, r] times
// b [r, cols k k]. With a Tucker core [r, s, k, k], a is [r, rows] and b [s, cols].
type factor struct {
	whole, a, b, core modelfile.Tensor
	rows, cols, cells int
	rank              int // 0: whole
	tucker            bool
}

// factor takes a factor's parts; "" is one that it never has.
func (g *group) factor(whole, a, b, core part, side int) *factor {
	f, k := &factor{cells: side * side}, int64(side)
	var ok bool
	if f.whole, ok = g.take(whole); ok {
		shape := f.whole.Shape
		g.expect(len(shape) >= 2 && is(f.whole, shape[0], shape[1], k, k) && f.whole.Elements() > 0, f.whole,
			"a factor [rows, cols] or [rows, cols, kernel, kernel]")
		f.rows, f.cols = int(shape[0]), int(shape[1])
		return f
	}
	f.a, _ = g.take(a)
	f.b, _ = g.take(b)
	f.core, f.tucker = g.take(core)
	g.expect(len(f.a.Shape) >= 2 && is(f.a, f.a.Shape[:2]...) && len(f.b.Shape) >= 2, f.a, "matrices")
	rows, rank, inner := f.a.Shape[0], f.a.Shape[1], f.b.Shape[0]
	if f.tucker {
		rows, rank = rank, rows
	}
	checkRank(min(rank, inner), f.b)
	cols := f.b.Elements() / inner
	g.expect(rows > 0 && cols > 0, f.a, "matrices with content")
	if f.tucker {
		g.expect(is(f.core, rank, inner, k, k), f.core, "[r, r, kernel, kernel]")
	} else {
		g.expect(rank == inner && cols%(k*k) == 0, f.b, "[r, cols x kernel x kernel] with the r of its counterpart")
		cols /= k * k
	}
	f.rows, f.cols, f.rank = int(rows), int(cols), int(rank)
	return f
}

// product returns the two matrices that make up a factor that is not whole: [rows, rank] and [rank, cols*cells].
func (f *factor) product(src *source) (up, down []float32) {
	up, down = src.floats(f.a), src.floats(f.b)
	if f.tucker {
		down = contractCore(src.floats(f.core), down, f.rank, int(f.b.Shape[0]), f.cols, f.cells)
		up = transpose(up, f.rank, f.rows)
	}
	return up, down
}

// matrix returns the factor's values, [rows, cols, cells].
func (f *factor) matrix(src *source) []float32 {
	if f.rank == 0 {
		return src.floats(f.whole)
	}
	up, down := f.product(src)
	return multiply(up, down, f.rows, f.rank, f.cols*f.cells)
}
