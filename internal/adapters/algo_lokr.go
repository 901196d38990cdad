package adapters

import (
	"github.com/daguerre-go/daguerre/internal/modelfile"
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
func (g *group) planLoKr(src *source) (*planned, error) {
	if !g.weighs() || !g.has(partLokrW1) && !g.hasAll(partLokrW1A, partLokrW1B) ||
		!g.has(partLokrW2) && !g.hasAll(partLokrW2A, partLokrW2B) {
		return nil, nil
	}
	first, err := g.kronFactor(partLokrW1, partLokrW1A, partLokrW1B, "", 1)
	if err != nil {
		return nil, err
	}
	second, err := g.kronFactor(partLokrW2, partLokrW2A, partLokrW2B, partLokrT2, g.kernel())
	if err != nil {
		return nil, err
	}
	m, k := g.module, g.kernel()
	if first.rows*second.rows != m.Out || first.cols*second.cols != m.In {
		return nil, fail(lora.ErrShape, quoteName(g.base)+".lokr_w1", "factors of [%d, %d] and [%d, %d] do not make up %s",
			first.rows, first.cols, second.rows, second.cols, describe(m))
	}
	rank := max(first.rank, second.rank)
	p := &planned{algorithm: AlgorithmLoKr, rank: rank, alpha: 1, block: g.block,
		target: backend.LoRATarget{Module: m.Name, Form: backend.LoRAKron, Scale: 1}}
	if rank > 0 || g.scales.always(m.Name) {
		if p.target.Scale, p.alpha, err = g.scale(src, max(rank, g.scales.rank(m.Name))); err != nil {
			return nil, err
		}
	} else {
		g.take(partAlpha) // without a rank it has no meaning, as in LyCORIS
	}
	if k > 1 {
		p.target.Form = backend.LoRADense
		p.bytes = 4 * int64(backend.Count(g.weightShape()...))
	} else {
		p.bytes = 4 * int64(first.rows*first.cols+second.rows*second.cols)
	}
	p.load = func(src *source, t *backend.LoRATarget) error {
		w1, err := first.matrix(src)
		if err != nil {
			return err
		}
		w2, err := second.matrix(src)
		if err != nil {
			return err
		}
		if k > 1 {
			t.A = floatTensor(kronecker(w1, w2, first.rows, first.cols, second.rows, second.cols, k*k), g.weightShape()...)
			return nil
		}
		t.A, t.B = floatTensor(w1, first.rows, first.cols), floatTensor(w2, second.rows, second.cols)
		return nil
	}
	return p, g.addMagnitude(p)
}

// kronFactor is one factor, [rows, cols, k, k].
type kronFactor struct {
	whole, a, b, core modelfile.Tensor
	rows, cols, cells int
	rank              int // 0: whole
	tucker            bool
}

func (g *group) kronFactor(whole, a, b, core part, k int) (*kronFactor, error) {
	f := &kronFactor{cells: k * k}
	kk := int64(k) * int64(k)
	if t, ok := g.take(whole); ok {
		f.whole = t
		matrix := len(t.Shape) >= 2 && is(t, t.Shape[0], t.Shape[1]) && k == 1
		kernel := len(t.Shape) == 4 && is(t, t.Shape[0], t.Shape[1], int64(k), int64(k))
		if !matrix && !kernel || t.Elements() == 0 {
			return nil, g.misfit(t, "a factor [rows, cols] or [rows, cols, kernel, kernel]")
		}
		f.rows, f.cols = int(t.Shape[0]), int(t.Shape[1])
		return f, nil
	}
	f.a, _ = g.take(a)
	f.b, _ = g.take(b)
	if core != "" {
		f.core, f.tucker = g.take(core)
	}
	if len(f.a.Shape) != 2 || len(f.b.Shape) < 2 {
		return nil, g.misfit(f.a, "matrices")
	}
	rank, cols := f.a.Shape[1], f.b.Elements()
	rows := f.a.Shape[0]
	if f.tucker {
		rank, rows = f.a.Shape[0], f.a.Shape[1]
	}
	if err := g.checkRank(min(rank, f.b.Shape[0]), f.b); err != nil {
		return nil, err
	}
	cols /= f.b.Shape[0]
	switch {
	case rows < 1 || cols < 1:
		return nil, g.misfit(f.a, "matrices with content")
	case f.tucker && !is(f.core, rank, f.b.Shape[0], int64(k), int64(k)) && !(k == 1 && is(f.core, rank, f.b.Shape[0])):
		return nil, g.misfit(f.core, "[r, r, kernel, kernel]")
	case !f.tucker && (f.b.Shape[0] != rank || cols%kk != 0):
		return nil, g.misfit(f.b, "[r, cols x kernel x kernel] with the r of its counterpart")
	case !f.tucker:
		cols /= kk
	}
	f.rows, f.cols, f.rank = int(rows), int(cols), int(rank)
	return f, nil
}

// matrix returns the factor's values, [rows, cols, cells].
func (f *kronFactor) matrix(src *source) ([]float32, error) {
	if f.rank == 0 {
		return src.floats(f.whole)
	}
	a, err := src.floats(f.a)
	if err != nil {
		return nil, err
	}
	b, err := src.floats(f.b)
	if err != nil {
		return nil, err
	}
	if f.tucker {
		core, err := src.floats(f.core)
		if err != nil {
			return nil, err
		}
		b = contractCore(core, b, f.rank, int(f.b.Shape[0]), f.cols, f.cells)
		a = transpose(a, f.rank, f.rows)
	}
	return multiply(a, b, f.rows, f.rank, f.cols*f.cells), nil
}
