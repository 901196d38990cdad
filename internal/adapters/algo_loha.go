package adapters

import (
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

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
func (g *group) planLoHa(src *source) (*planned, error) {
	if !g.weighs() || !g.hasAll(partHadaW1A, partHadaW1B, partHadaW2A, partHadaW2B) || g.has(partHadaT1) != g.has(partHadaT2) {
		return nil, nil
	}
	var halves [2]hadamardHalf
	for i, names := range [2][3]part{{partHadaW1A, partHadaW1B, partHadaT1}, {partHadaW2A, partHadaW2B, partHadaT2}} {
		h := &halves[i]
		h.a, _ = g.take(names[0])
		h.b, _ = g.take(names[1])
		h.core, h.tucker = g.take(names[2])
		if err := h.check(g); err != nil {
			return nil, err
		}
	}
	scale, alpha, err := g.scale(src, int(halves[0].b.Shape[0]))
	if err != nil {
		return nil, err
	}
	m, cols := g.module, g.module.In*g.kernel()*g.kernel()
	rank := halves[0].rank * halves[1].rank
	p := &planned{algorithm: AlgorithmLoHa, rank: int(halves[0].b.Shape[0]), alpha: alpha, block: g.block,
		target: backend.LoRATarget{Module: m.Name, Form: backend.LoRALowRank, Scale: scale}}
	dense := rank*(m.Out+cols) >= m.Out*cols
	if dense {
		p.target.Form = backend.LoRADense
		p.bytes = 4 * int64(m.Out) * int64(cols)
	} else {
		p.bytes = 4 * int64(rank) * int64(m.Out+cols)
	}
	p.load = func(src *source, t *backend.LoRATarget) error {
		var up, down [2][]float32
		for i, h := range halves {
			var err error
			if up[i], down[i], err = h.factors(src, m.Out, m.In, cols/m.In); err != nil {
				return err
			}
		}
		if dense {
			w1 := multiply(up[0], down[0], m.Out, halves[0].rank, cols)
			for i, v := range multiply(up[1], down[1], m.Out, halves[1].rank, cols) {
				w1[i] *= v
			}
			t.A = floatTensor(w1, g.weightShape()...)
			return nil
		}
		t.B = floatTensor(rowProducts(up[0], up[1], m.Out, halves[0].rank, halves[1].rank), m.Out, rank)
		t.A = floatTensor(columnProducts(down[0], down[1], halves[0].rank, halves[1].rank, cols), append([]int{rank}, g.weightShape()[1:]...)...)
		return nil
	}
	return p, g.addMagnitude(p)
}

// hadamardHalf is one factor of the product: a [out, r] times b [r, in k k]; or with a Tucker core [r, r, k, k], a is
// [r, out] and b [r, in].
type hadamardHalf struct {
	a, b, core modelfile.Tensor
	tucker     bool
	rank       int
}

func (h *hadamardHalf) check(g *group) error {
	m, k := g.module, int64(g.kernel())
	if len(h.a.Shape) < 2 || len(h.b.Shape) < 2 {
		return g.misfit(h.a, "matrices")
	}
	rank, inner := h.a.Shape[1], h.b.Shape[0]
	if h.tucker {
		rank = h.a.Shape[0]
	}
	if err := g.checkRank(min(rank, inner), h.b); err != nil {
		return err
	}
	switch {
	case !h.tucker && (!is(h.a, int64(m.Out), rank) || rank != inner):
		return g.misfit(h.a, "[out, r] with the r of its counterpart")
	case !h.tucker && !is(h.b, rank, int64(m.In)*k*k) && !is(h.b, rank, int64(m.In), k, k):
		return g.misfit(h.b, "[r, in x kernel x kernel]")
	case h.tucker && !is(h.a, rank, int64(m.Out)):
		return g.misfit(h.a, "[r, out]")
	case h.tucker && !is(h.b, inner, int64(m.In)):
		return g.misfit(h.b, "[r, in]")
	case h.tucker && !is(h.core, rank, inner, k, k) && !(k == 1 && is(h.core, rank, inner)):
		return g.misfit(h.core, "[r, r, kernel, kernel]")
	}
	h.rank = int(rank)
	return nil
}

// factors returns up [out, rank] and down [rank, in*cells].
func (h *hadamardHalf) factors(src *source, out, in, cells int) (up, down []float32, err error) {
	if up, err = src.floats(h.a); err != nil {
		return nil, nil, err
	}
	if down, err = src.floats(h.b); err != nil || !h.tucker {
		return up, down, err
	}
	core, err := src.floats(h.core)
	if err != nil {
		return nil, nil, err
	}
	down = contractCore(core, down, h.rank, int(h.b.Shape[0]), in, cells)
	return transpose(up, h.rank, out), down, nil
}
