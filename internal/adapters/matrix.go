package adapters

// multiply returns a [rows, inner] times b [inner, cols].
func multiply(a, b []float32, rows, inner, cols int) []float32 {
	out := make([]float32, rows*cols)
	for i := range rows {
		to := out[i*cols:][:cols]
		for k := range inner {
			x := a[i*inner+k]
			for j, y := range b[k*cols:][:cols] {
				to[j] += x * y
			}
		}
	}
	return out
}

// transpose turns [rows, cols] into [cols, rows].
func transpose(a []float32, rows, cols int) []float32 {
	out := make([]float32, len(a))
	for i := range rows {
		for j := range cols {
			out[j*rows+i] = a[i*cols+j]
		}
	}
	return out
}

// rowProducts returns, for a [rows, p] and b [rows, q], each row's products of two: [rows, p q].
func rowProducts(a, b []float32, rows, p, q int) []float32 {
	out := make([]float32, 0, rows*p*q)
	for i := range rows {
		for _, x := range a[i*p:][:p] {
			for _, y := range b[i*q:][:q] {
				out = append(out, x*y)
			}
		}
	}
	return out
}

// columnProducts returns, for a [p, cols] and b [q, cols], each column's products of two: [p q, cols].
func columnProducts(a, b []float32, p, q, cols int) []float32 {
	out := make([]float32, 0, p*q*cols)
	for i := range p {
		x := a[i*cols:][:cols]
		for j := range q {
			for k, y := range b[j*cols:][:cols] {
				out = append(out, x[k]*y)
			}
		}
	}
	return out
}

// kronecker returns kron(a [m, n], b [p, q, cells]) as [m p, n q, cells].
func kronecker(a, b []float32, m, n, p, q, cells int) []float32 {
	out := make([]float32, m*p*n*q*cells)
	for i := range m {
		for r := range p {
			row := out[(i*p+r)*n*q*cells:]
			for j := range n {
				x, to := a[i*n+j], row[j*q*cells:][:q*cells]
				for k, y := range b[r*q*cells:][:q*cells] {
					to[k] = x * y
				}
			}
		}
	}
	return out
}
