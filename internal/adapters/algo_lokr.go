package adapters

import (
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// AlgorithmLoKr is a Kronecker product.
const AlgorithmLoKr Algorithm = "lokr"

const (
	partLokrW1  part = "lokr_w1"
	partLokrW1A part = "lokr_w1_a"
	partLokrW1B part = "lokr_w1_b"
	partLokrW2  part = "lokr_w2"
	partLokrW2A part = "lokr_w2_a"
	partLokrW2B part = "lokr_w2_b"
	partLokrT2  part = "lokr_t2"
)

var lokrAlgorithm = algorithm{
	parts: []part{partLokrW1, partLokrW1A, partLokrW1B, partLokrW2, partLokrW2A, partLokrW2B, partLokrT2},
	pairs: [][2]part{{partLokrW1A, partLokrW1B}, {partLokrW2A, partLokrW2B}},
	plan:  (*group).planLoKr,
}

// planLoKr reads dW = scale kron(w1, w2) (LyCORIS). Each factor is whole, or a product w_a w_b; the second may have a Tucker
// core. The scale is alpha/r where a factor is a product, and 1 otherwise.
func (g *group) planLoKr(src *source) *planned {
	if !g.weighs() || !g.has(partLokrW1) && !g.hasAll(partLokrW1A, partLokrW1B) ||
		!g.has(partLokrW2) && !g.hasAll(partLokrW2A, partLokrW2B) {
		return nil
	}
	m, k := g.module, g.kernel()
	first := g.factor(partLokrW1, partLokrW1A, partLokrW1B, "", 1)
	second := g.factor(partLokrW2, partLokrW2A, partLokrW2B, partLokrT2, k)
	if first.rows*second.rows != m.Out || first.cols*second.cols != m.In {
		panic(fail(lora.ErrShape, quoteName(g.base)+".lokr_w1", "factors of [%d, %d] and [%d, %d] do not make up %s",
			first.rows, first.cols, second.rows, second.cols, describe(m)))
	}
	p := g.planned(AlgorithmLoKr, backend.LoRAKron)
	p.rank, p.alpha = max(first.rank, second.rank), 1
	if p.rank > 0 || g.scales.always(m.Name) {
		p.target.Scale, p.alpha = g.scale(src, max(p.rank, g.scales.rank(m.Name)))
	} else {
		g.take(partAlpha) // without a rank it has no meaning, as in LyCORIS
	}
	p.kron = [4]int{first.rows, first.cols, second.rows, second.cols}
	p.bytes = 4 * int64(first.rows*first.cols+second.rows*second.cols)
	if k > 1 {
		p.target.Form, p.bytes = backend.LoRADense, 4*int64(backend.Count(g.weightShape()...))
	}
	p.load = func(src *source, t *backend.LoRATarget) {
		w1, w2 := first.matrix(src), second.matrix(src)
		if k > 1 {
			t.A = floatTensor(kronecker(w1, w2, first.rows, first.cols, second.rows, second.cols, k*k), g.weightShape()...)
			return
		}
		t.A, t.B = floatTensor(w1, first.rows, first.cols), floatTensor(w2, second.rows, second.cols)
	}
	g.addMagnitude(p)
	return p
}
