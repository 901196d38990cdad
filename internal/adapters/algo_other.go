package adapters

import (
	"slices"

	"github.com/daguerre-go/daguerre/internal/modelfile"
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
	fullBiasAlgorithm = algorithm{parts: []part{partDiffBias}, plan: func(g *group, _ *source) (*planned, error) {
		return g.planBias(partDiffBias, AlgorithmFull, 1)
	}}
	normBiasAlgorithm = algorithm{parts: []part{partNormBias}, plan: func(g *group, _ *source) (*planned, error) {
		return g.planBias(partNormBias, AlgorithmNorm, 1)
	}}
)

// planIA3 reads (IA)^3 (arXiv 2205.05638): a factor for each output, or each input. LyCORIS stores the factor's change
// and a flag; PEFT stores the factor, whose shape [1, in] or [out, 1] tells the side.
func (g *group) planIA3(src *source) (*planned, error) {
	if !g.weighs() || !g.has(partOnInput, partPEFTIA3) {
		return nil, nil
	}
	t, peft := g.take(partPEFTIA3)
	input := peft && len(t.Shape) >= 2 && t.Shape[0] == 1 && t.Elements() == int64(g.module.In)
	if !peft {
		var ok bool
		if t, ok = g.parts[partIA3]; !ok {
			return nil, nil
		}
		g.take(partIA3)
		flag, _ := g.take(partOnInput)
		if flag.Elements() != 1 {
			return nil, fail(lora.ErrShape, tensorField(flag.Name), "has shape %v; expected one flag", flag.Shape)
		}
		x, err := src.floats(flag)
		if err != nil {
			return nil, err
		}
		input = x[0] != 0
	}
	g.take(partAlpha)
	p := &planned{algorithm: AlgorithmIA3, block: g.block, bytes: 4 * t.Elements(),
		target: backend.LoRATarget{Module: g.module.Name, Form: backend.LoRAOutScale, Scale: 1}}
	n := g.module.Out
	if input {
		p.target.Form, n = backend.LoRAInScale, g.module.In
	}
	if t.Elements() != int64(n) {
		return nil, g.misfit(t, "one factor per output, or per input")
	}
	p.load = func(src *source, target *backend.LoRATarget) error {
		x, err := src.floats(t)
		if peft {
			for i := range x {
				x[i]--
			}
		}
		target.A = floatTensor(x, n)
		return err
	}
	return p, nil
}

// planDiff reads the difference of a whole weight (LyCORIS' "full", ComfyUI's extractions).
func (g *group) planDiff(*source) (*planned, error) {
	t, _ := g.take(partDiff)
	g.take(partAlpha)
	form, algorithm := backend.LoRADense, AlgorithmFull
	switch {
	case g.module.Kind == backend.ModuleNorm:
		form, algorithm = backend.LoRANorm, AlgorithmNorm
	case !g.weighs():
		g.used[partDiff] = false
		return nil, nil
	}
	p, err := g.whole(t, form, algorithm, g.weightShape())
	if err != nil || form == backend.LoRANorm {
		return p, err
	}
	return p, g.addMagnitude(p)
}

// planNorm reads the difference of a norm's weight.
func (g *group) planNorm(*source) (*planned, error) {
	t, _ := g.take(partNormWeight)
	if g.module.Kind != backend.ModuleNorm {
		return nil, g.misfit(t, "a norm")
	}
	return g.whole(t, backend.LoRANorm, AlgorithmNorm, g.weightShape())
}

// planBias reads the difference of a bias.
func (g *group) planBias(from part, algorithm Algorithm, scale float64) (*planned, error) {
	if g.module.Kind == backend.ModuleEmbedding {
		return nil, nil
	}
	t, _ := g.take(from)
	p, err := g.whole(t, backend.LoRABias, algorithm, []int{g.module.Out})
	if p != nil {
		p.target.Scale = scale
	}
	return p, err
}

// whole plans a tensor that is taken as it is; it must have as many elements as shape, and its dimensions but for ones.
func (g *group) whole(t modelfile.Tensor, form backend.LoRAForm, algorithm Algorithm, shape []int) (*planned, error) {
	want := slices.DeleteFunc(slices.Clone(shape), func(n int) bool { return n == 1 })
	have := slices.DeleteFunc(slices.Clone(t.Shape), func(n int64) bool { return n == 1 })
	same := slices.EqualFunc(have, want, func(a int64, b int) bool { return a == int64(b) })
	if !same {
		return nil, g.misfit(t, "the shape of what it changes")
	}
	return &planned{algorithm: algorithm, block: g.block, bytes: rawBytes(t),
		target: backend.LoRATarget{Module: g.module.Name, Form: form, Scale: 1},
		load: func(src *source, target *backend.LoRATarget) (err error) {
			target.A, err = src.raw(t, shape...)
			return err
		}}, nil
}
