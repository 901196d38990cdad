package adapters

import (
	"slices"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// The algorithms that need no matrices of their own.
const (
	AlgorithmIA3  Algorithm = "ia3"
	AlgorithmFull Algorithm = "full" // the difference itself, also of biases
	AlgorithmNorm Algorithm = "norm"
)

const (
	partIA3        part = "weight" // (IA)^3 of LyCORIS: the change of a factor
	partOnInput    part = "on_input"
	partPEFTIA3    part = "ia3_l" // (IA)^3 of PEFT: the factor itself
	partDiff       part = "diff"
	partDiffBias   part = "diff_b"
	partNormWeight part = "w_norm"
	partNormBias   part = "b_norm"
)

var (
	ia3Algorithm      = algorithm{parts: []part{partIA3, partOnInput, partPEFTIA3}, plan: (*group).planIA3}
	fullAlgorithm     = algorithm{parts: []part{partDiff}, plan: (*group).planDiff}
	normAlgorithm     = algorithm{parts: []part{partNormWeight}, plan: (*group).planNorm}
	fullBiasAlgorithm = algorithm{parts: []part{partDiffBias}, plan: func(g *group, _ *source) *planned {
		return g.planBias(partDiffBias, AlgorithmFull, 1)
	}}
	normBiasAlgorithm = algorithm{parts: []part{partNormBias}, plan: func(g *group, _ *source) *planned {
		return g.planBias(partNormBias, AlgorithmNorm, 1)
	}}
)

// planIA3 reads (IA)^3 (arXiv 2205.05638): a factor for each output, or each input. LyCORIS stores the factor's change
// and a flag; PEFT stores the factor, whose shape [1, in] or [out, 1] tells the side.
func (g *group) planIA3(src *source) *planned {
	if !g.weighs() || !g.has(partOnInput, partPEFTIA3) {
		return nil
	}
	t, peft := g.take(partPEFTIA3)
	input := peft && len(t.Shape) >= 2 && t.Shape[0] == 1 && t.Elements() == int64(g.module.In)
	if !peft {
		var ok bool
		if t, ok = g.take(partIA3); !ok {
			return nil
		}
		flag, _ := g.take(partOnInput)
		if flag.Elements() != 1 {
			panic(fail(lora.ErrShape, tensorField(flag.Name), "has shape %v; expected one flag", flag.Shape))
		}
		input = src.floats(flag)[0] != 0
	}
	g.take(partAlpha)
	p, n := g.planned(AlgorithmIA3, backend.LoRAOutScale), g.module.Out
	if input {
		p.target.Form, n = backend.LoRAInScale, g.module.In
	}
	g.expect(t.Elements() == int64(n), t, "one factor per output, or per input")
	p.bytes = 4 * t.Elements()
	p.load = func(src *source, target *backend.LoRATarget) {
		x := src.floats(t)
		if peft {
			for i := range x {
				x[i]--
			}
		}
		target.A = floatTensor(x, n)
	}
	return p
}

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
