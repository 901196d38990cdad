package adapters

import "github.com/daguerre-go/daguerre/runtime/backend"

// AlgorithmLoHa is the product of two LoRAs, element by element.
const AlgorithmLoHa Algorithm = "loha"

const (
	partHadaW1A part = "hada_w1_a"
	partHadaW1B part = "hada_w1_b"
	partHadaW2A part = "hada_w2_a"
	partHadaW2B part = "hada_w2_b"
	partHadaT1  part = "hada_t1"
	partHadaT2  part = "hada_t2"
)

var lohaAlgorithm = algorithm{
	parts: []part{partHadaW1A, partHadaW1B, partHadaW2A, partHadaW2B, partHadaT1, partHadaT2},
	pairs: [][2]part{{partHadaW1A, partHadaW1B}, {partHadaW2A, partHadaW2B}, {partHadaW1A, partHadaW2A}, {partHadaT1, partHadaT2}},
	plan:  (*group).planLoHa,
}

// planLoHa reads dW = alpha/r (w1_a w1_b) * (w2_a w2_b), a product element by element (LyCORIS, after arXiv 2108.06098). It
// is itself of low rank r1 r2: the rows of A and columns of B are all products of two. Where that would be larger than the
// weight, the difference itself is made.
func (g *group) planLoHa(src *source) *planned {
	if !g.weighs() || !g.hasAll(partHadaW1A, partHadaW1B, partHadaW2A, partHadaW2B) || g.has(partHadaT1) != g.has(partHadaT2) {
		return nil
	}
	one := g.factor("", partHadaW1A, partHadaW1B, partHadaT1, g.kernel())
	two := g.factor("", partHadaW2A, partHadaW2B, partHadaT2, g.kernel())
	rows, cols, rank := g.module.Out, g.module.In*g.kernel()*g.kernel(), one.rank*two.rank
	for _, f := range []*factor{one, two} {
		g.expect(f.rows == rows, f.a, "[out, r], or [r, out] with a core")
		g.expect(f.cols == g.module.In, f.b, "[r, in x kernel x kernel], or [r, in] with a core")
	}
	p := g.planned(AlgorithmLoHa, backend.LoRALowRank)
	p.rank = int(one.b.Shape[0])
	p.target.Scale, p.alpha = g.scale(src, p.rank)
	p.bytes = 4 * int64(rank) * int64(rows+cols)
	p.inner = rank
	dense := rank*(rows+cols) >= rows*cols
	if dense {
		p.target.Form, p.bytes = backend.LoRADense, 4*int64(rows)*int64(cols)
	}
	p.load = func(src *source, t *backend.LoRATarget) {
		up1, down1 := one.product(src)
		up2, down2 := two.product(src)
		if dense {
			w1 := multiply(up1, down1, rows, one.rank, cols)
			for i, v := range multiply(up2, down2, rows, two.rank, cols) {
				w1[i] *= v
			}
			t.A = floatTensor(w1, g.weightShape()...)
			return
		}
		t.B = floatTensor(rowProducts(up1, up2, rows, one.rank, two.rank), rows, rank)
		t.A = floatTensor(columnProducts(down1, down2, one.rank, two.rank, cols), append([]int{rank}, g.weightShape()[1:]...)...)
	}
	g.addMagnitude(p)
	return p
}
