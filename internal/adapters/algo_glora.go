package adapters

import "github.com/daguerre-go/daguerre/runtime/backend"

// AlgorithmGLoRA is a LoRA, and another of the layer's inputs (arXiv 2306.07967, as LyCORIS has it).
const AlgorithmGLoRA Algorithm = "glora"

const (
	partA1 part = "a1.weight"
	partA2 part = "a2.weight"
	partB1 part = "b1.weight"
	partB2 part = "b2.weight"
	partBM part = "bm.weight" // Tucker core between b2 and b1
)

var (
	gloraAlgorithm = algorithm{parts: []part{partA1, partA2, partB1, partB2, partBM},
		pairs: [][2]part{{partA1, partA2}, {partB1, partB2}, {partA1, partB1}}, plan: (*group).planGLoRA}
	gloraInputAlgorithm = algorithm{parts: []part{partA1}, plan: (*group).planGLoRAInput}
)

func (g *group) glora() bool { return g.weighs() && g.hasAll(partA1, partA2, partB1, partB2) }

// planGLoRA reads the part alpha/r b1 b2 of dW = alpha/r (W a1 a2 + b1 b2).
func (g *group) planGLoRA(src *source) *planned {
	if !g.glora() {
		return nil
	}
	return g.lowRank(src, AlgorithmGLoRA, partB2, partB1, partBM)
}

// planGLoRAInput reads the part alpha/r W a1 a2: a change of the layer's input.
func (g *group) planGLoRAInput(src *source) *planned {
	if !g.glora() {
		return nil
	}
	down, _ := g.take(partA2)
	up, _ := g.take(partA1)
	g.expect(len(down.Shape) >= 2 && len(up.Shape) >= 2, down, "matrices")
	in, rank := int64(g.module.In), down.Shape[0]
	checkRank(rank, down)
	g.expect(is(down, rank, in), down, "[r, in]")
	g.expect(is(up, in, rank), up, "[in, r] with the r of a2")
	p := g.planned(AlgorithmGLoRA, backend.LoRAInLowRank)
	p.rank, p.inner = int(rank), int(rank)
	p.target.Scale, p.alpha = g.scale(src, p.rank)
	p.bytes = rawBytes(down) + rawBytes(up)
	a, b := []int{p.rank, g.module.In}, []int{g.module.In, p.rank}
	if g.module.Kind == backend.ModuleConv2D {
		a, b = append(a, 1, 1), append(b, 1, 1)
	}
	p.load = func(src *source, t *backend.LoRATarget) { t.A, t.B = src.raw(down, a...), src.raw(up, b...) }
	return p
}
