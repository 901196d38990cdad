package adapters

import "math"

// Rotations are made of blocks of n x n, one after another. Sums are in float64, since the result is a small difference to the identity.

func widened(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// skew turns each block q into f (q - q^T).
func skew(q []float64, n int, f float64) {
	for b := 0; b < len(q); b += n * n {
		for i := range n {
			q[b+i*n+i] = 0
			for j := range i {
				d := f * (q[b+i*n+j] - q[b+j*n+i])
				q[b+i*n+j], q[b+j*n+i] = d, -d
			}
		}
	}
}

// unpack makes skew blocks from the values above their diagonals.
func unpack(v []float64, blocks, n int) []float64 {
	q := make([]float64, blocks*n*n)
	for b := 0; b < len(q); b += n * n {
		for i := range n {
			for j := i + 1; j < n; j++ {
				q[b+i*n+j], q[b+j*n+i] = v[0], -v[0]
				v = v[1:]
			}
		}
	}
	return q
}

// shrink scales q so that its norm is at most bound.
func shrink(q []float64, bound float64) {
	var squares float64
	for _, v := range q {
		squares += v * v
	}
	if norm := math.Sqrt(squares) + 1e-8; norm > bound {
		for i := range q {
			q[i] *= max(bound, 0) / norm
		}
	}
}

// shrinkBlocks does so with each block (PEFT's COFT).
func shrinkBlocks(q []float64, n int, bound float64) {
	for b := 0; b < len(q); b += n * n {
		var squares float64
		for _, v := range q[b : b+n*n] {
			squares += v * v
		}
		if norm := math.Sqrt(squares); norm > bound {
			for i := range q[b : b+n*n] {
				q[b+i] *= bound / norm
			}
		}
	}
}

// cayley returns (I + s q) (I - s q)^-1 of each block q. For a skew block the inverse always exists.
func cayley(q []float64, n int, s float64) []float64 {
	out := make([]float64, len(q))
	for b := 0; b < len(q); b += n * n {
		// X (I - s q) = I + s q; transposed, with q^T = -q: (I + s q) X^T = I - s q
		left, right := make([]float64, n*n), make([]float64, n*n)
		for i, v := range q[b : b+n*n] {
			left[i], right[i] = s*v, -s*v
			if i/n == i%n {
				left[i]++
				right[i]++
			}
		}
		solve(left, right, n)
		for i := range n {
			for j := range n {
				out[b+i*n+j] = right[j*n+i]
			}
		}
	}
	return out
}

// solve solves left x = right by Gauss' elimination with pivots, and writes x into right.
func solve(left, right []float64, n int) {
	for c := range n {
		pivot := c
		for r := c + 1; r < n; r++ {
			if math.Abs(left[r*n+c]) > math.Abs(left[pivot*n+c]) {
				pivot = r
			}
		}
		for k := range n {
			left[c*n+k], left[pivot*n+k] = left[pivot*n+k], left[c*n+k]
			right[c*n+k], right[pivot*n+k] = right[pivot*n+k], right[c*n+k]
		}
		inverse := 1 / left[c*n+c]
		for k := range n {
			left[c*n+k] *= inverse
			right[c*n+k] *= inverse
		}
		for r := range n {
			f := left[r*n+c]
			if r == c || f == 0 {
				continue
			}
			for k := range n {
				left[r*n+k] -= f * left[c*n+k]
				right[r*n+k] -= f * right[c*n+k]
			}
		}
	}
}

// neumann returns PEFT's series for Cayley's formula, with the given number of terms: 1 + 2 q + 2 q^2 + ... Since PEFT 0.18 the last term
// has the factor 1 (halved).
func neumann(q []float64, n, terms int, halved bool) []float64 {
	out := make([]float64, len(q))
	for b := 0; b < len(q); b += n * n {
		block, sum := q[b:b+n*n], out[b:b+n*n]
		for i := range n {
			sum[i*n+i] = 1
		}
		power := block
		for k := 1; k < terms; k++ {
			if k > 1 {
				power = multiplied(power, block, n)
			}
			f := 2.0
			if halved && k > 2 && k == terms-1 {
				f = 1
			}
			for i, v := range power {
				sum[i] += f * v
			}
		}
		if halved && terms == 3 { // its last power is added though its turn does not come
			for i, v := range multiplied(power, block, n) {
				sum[i] += v
			}
		}
	}
	return out
}

func multiplied(a, b []float64, n int) []float64 {
	out := make([]float64, n*n)
	for i := range n {
		for k := range n {
			for j := range n {
				out[i*n+j] += a[i*n+k] * b[k*n+j]
			}
		}
	}
	return out
}

// transposeBlocks transposes each block.
func transposeBlocks(r []float64, n int) []float64 {
	out := make([]float64, len(r))
	for i, v := range r {
		b, row, col := i/(n*n), i/n%n, i%n
		out[b*n*n+col*n+row] = v
	}
	return out
}

// interleave reorders the elements of blocks for backends: the first half, then the second. In LyCORIS' files the halves alternate.
func interleave(r []float64, n int) []float64 {
	theirs := func(e int) int { return e%(n/2)*2 + e/(n/2) }
	out := make([]float64, len(r))
	for i := range r {
		b, row, col := i/(n*n), i/n%n, i%n
		out[i] = r[b*n*n+theirs(row)*n+theirs(col)]
	}
	return out
}

// repeated is r, n times in a row.
func repeated(r []float64, times int) []float64 {
	out := make([]float64, 0, len(r)*times)
	for range times {
		out = append(out, r...)
	}
	return out
}
