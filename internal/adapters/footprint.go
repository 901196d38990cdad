package adapters

import "github.com/daguerre-go/daguerre/runtime/backend"

// inputRankStep: ranks of inputs are filled up to a multiple of it.
const inputRankStep = 32

// Change is what a model keeps of one target, as far as its size goes.
type Change struct {
	Module   backend.Module
	Form     backend.LoRAForm
	Rank     int    // of a low-rank form
	Elements int64  // of all its matrices, or of its vector
	Sides    [4]int // of the factors of a Kronecker product, or of a rotation's stages
	Factors  bool   // a rotation scales the outputs, too
}

// Shape is what graphs depend on.
func (c Change) Shape() backend.LoRAShape {
	return backend.LoRAShape{Module: c.Module.Name, Form: c.Form, Rank: c.Rank, Shape: c.Sides, Factors: c.Factors}
}

// Matrix reports whether the change is held in the dense type of its component; vectors are float32.
func (c Change) Matrix() bool {
	return c.Form == backend.LoRALowRank || c.Form == backend.LoRAKron || c.Form == backend.LoRADense ||
		c.Form == backend.LoRAInLowRank
}

// Changes lists what a model would keep of the file. A DoRA's target is two changes: a factor, and the difference. A Kronecker product
// is multiplied out where it is of a convolution, or a DoRA's, and so is a rotation of a wide convolution's inputs.
func (a *File) Changes() []Change {
	var out []Change
	for _, p := range a.planned {
		m := p.module
		columns := m.In * max(m.Kernel, 1) * max(m.Kernel, 1)
		c := Change{Module: m, Form: p.target.Form}
		switch {
		case c.Form == backend.LoRALowRank:
			c.Rank, c.Elements = p.inner, int64(p.inner)*int64(columns+m.Out)
		case c.Form == backend.LoRAKron && m.Kind == backend.ModuleLinear && !p.dora:
			c.Elements, c.Sides = p.bytes/4, p.kron
		case c.Form == backend.LoRAKron, c.Form == backend.LoRADense:
			c.Form, c.Elements = backend.LoRADense, int64(m.Out)*int64(columns)
		case c.Form == backend.LoRAInLowRank:
			rank := (p.inner + inputRankStep - 1) / inputRankStep * inputRankStep
			c.Rank, c.Elements = rank, 2*int64(rank)*int64(m.In)
		case c.Form == backend.LoRAInRotate && m.Kernel > 1:
			c.Form, c.Elements = backend.LoRADense, int64(m.Out)*int64(columns)
		case p.stages != nil:
			c.Elements, c.Sides, c.Factors = p.bytes/4, [4]int(p.stages), p.rescale != nil
		case c.Form == backend.LoRAInScale:
			c.Elements = int64(m.In)
		default:
			c.Elements = int64(m.Out)
		}
		if p.dora {
			factor := Change{Module: m, Form: backend.LoRAOutScale, Elements: int64(m.Out)}
			if p.target.MagnitudeAxis == 1 {
				factor.Form, factor.Elements = backend.LoRAInScale, int64(m.In)
			}
			out = append(out, factor)
		}
		out = append(out, c)
	}
	return out
}
