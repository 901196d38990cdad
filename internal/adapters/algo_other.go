package adapters

import (
	"slices"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// The algorithms that need no matrices of their own.
const (
	AlgorithmFull Algorithm = "full" // the difference itself, also of biases
	AlgorithmNorm Algorithm = "norm"
)

const (
	partDiff       part = "diff"
	partDiffBias   part = "diff_b"
	partNormWeight part = "w_norm"
	partNormBias   part = "b_norm"
)

var (
	fullAlgorithm     = algorithm{parts: []part{partDiff}, plan: (*group).planDiff}
	normAlgorithm     = algorithm{parts: []part{partNormWeight}, plan: (*group).planNorm}
	fullBiasAlgorithm = algorithm{parts: []part{partDiffBias}, plan: func(g *group, _ *source) *planned {
		return g.planBias(partDiffBias, AlgorithmFull, 1)
	}}
	normBiasAlgorithm = algorithm{parts: []part{partNormBias}, plan: func(g *group, _ *source) *planned {
		return g.planBias(partNormBias, AlgorithmNorm, 1)
	}}
)

// planDiff reads the difference of a whole weight (LyCORIS' "full", ComfyUI's extractions).
func (g *group) planDiff(*source) *planned {
	g.take(partAlpha)
	switch {
	case g.module.Kind == backend.ModuleNorm:
		return g.whole(partDiff, backend.LoRANorm, AlgorithmNorm, g.weightShape())
	case !g.weighs():
		return nil
	}
	p := g.whole(partDiff, backend.LoRADense, AlgorithmFull, g.weightShape())
	g.addMagnitude(p)
	return p
}

// planNorm reads the difference of a norm's weight.
func (g *group) planNorm(*source) *planned {
	g.expect(g.module.Kind == backend.ModuleNorm, g.parts[partNormWeight], "a norm")
	return g.whole(partNormWeight, backend.LoRANorm, AlgorithmNorm, g.weightShape())
}

// planBias reads the difference of a bias.
func (g *group) planBias(from part, algorithm Algorithm, scale float64) *planned {
	if g.module.Kind == backend.ModuleEmbedding {
		return nil
	}
	p := g.whole(from, backend.LoRABias, algorithm, []int{g.module.Out})
	p.target.Scale = scale
	return p
}

// whole plans a tensor that is taken as it is; it must have as many elements as shape, and its dimensions but for ones.
func (g *group) whole(from part, form backend.LoRAForm, algorithm Algorithm, shape []int) *planned {
	t, _ := g.take(from)
	want := slices.DeleteFunc(slices.Clone(shape), func(n int) bool { return n == 1 })
	have := slices.DeleteFunc(slices.Clone(t.Shape), func(n int64) bool { return n == 1 })
	g.expect(slices.EqualFunc(have, want, func(a int64, b int) bool { return a == int64(b) }), t, "the shape of what it changes")
	p := g.planned(algorithm, form)
	p.bytes = rawBytes(t)
	p.load = func(src *source, target *backend.LoRATarget) { target.A = src.raw(t, shape...) }
	return p
}
