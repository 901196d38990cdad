package adapters

import (
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// AlgorithmIA3 multiplies inputs or outputs by factors (arXiv 2205.05638).
const AlgorithmIA3 Algorithm = "ia3"

const (
	partIA3     part = "weight" // of LyCORIS: the change of a factor
	partOnInput part = "on_input"
	partPEFTIA3 part = "ia3_l" // of PEFT: the factor itself
)

var (
	ia3Algorithm = algorithm{parts: []part{partIA3, partOnInput}, pairs: [][2]part{{partIA3, partOnInput}}, plan: (*group).planIA3}
	// PEFT's factors of outputs scale the bias too.
	peftIA3Algorithm = algorithm{parts: []part{partPEFTIA3}, also: map[string]part{".ia3_l.default": partPEFTIA3}, plan: (*group).planPEFTIA3}
	ia3BiasAlgorithm = algorithm{parts: []part{partPEFTIA3}, plan: (*group).planIA3Bias}
)

// planIA3 reads LyCORIS' form: the changes of a weight's factors, and a flag that says whether they are its inputs' or its outputs'.
func (g *group) planIA3(src *source) *planned {
	if !g.weighs() || !g.hasAll(partIA3, partOnInput) {
		return nil
	}
	g.take(partAlpha) // alpha has no meaning here
	flag, _ := g.take(partOnInput)
	if flag.Elements() != 1 {
		panic(fail(lora.ErrShape, tensorField(flag.Name), "has shape %v; expected one flag", flag.Shape))
	}
	if src.floats(flag)[0] != 0 {
		return g.factors(partIA3, backend.LoRAInScale, g.module.In, 0)
	}
	return g.factors(partIA3, backend.LoRAOutScale, g.module.Out, 0)
}

// planPEFTIA3 reads PEFT's form, the factors themselves. Those of feedforward layers are the inputs'.
func (g *group) planPEFTIA3(*source) *planned {
	switch {
	case !g.weighs():
		return nil
	case g.ia3OnInput():
		return g.factors(partPEFTIA3, backend.LoRAInScale, g.module.In, 1)
	}
	return g.factors(partPEFTIA3, backend.LoRAOutScale, g.module.Out, 1)
}

// planIA3Bias uses the factors of outputs again, for the bias: PEFT scales a layer's whole output, and the bias is part of it.
func (g *group) planIA3Bias(*source) *planned {
	if !g.weighs() || !g.module.Bias || g.ia3OnInput() {
		return nil
	}
	return g.factors(partPEFTIA3, backend.LoRABiasScale, g.module.Out, 1)
}

// factors plans a tensor of n factors less one.
func (g *group) factors(from part, form backend.LoRAForm, n int, one float32) *planned {
	t, _ := g.take(from)
	g.expect(t.Elements() == int64(n), t, "one factor per output, or per input")
	p := g.planned(AlgorithmIA3, form)
	p.bytes = 4 * t.Elements()
	p.load = func(src *source, target *backend.LoRATarget) {
		x := src.floats(t)
		for i := range x {
			x[i] -= one
		}
		target.A = floatTensor(x, n)
	}
	return p
}

// ia3OnInput tells whether PEFT's factors scale inputs. For a linear layer the shape shows it: [1, in] or [out, 1]. For a convolution,
// [1, n, 1, 1], the shape shows it if inputs and outputs differ in number. Otherwise only PEFT's configuration tells.
func (g *group) ia3OnInput() bool {
	t, m := g.parts[partPEFTIA3], g.module
	if m.Kind == backend.ModuleLinear && len(t.Shape) == 2 {
		return t.Shape[0] == 1 && m.In != 1
	}
	if m.In != m.Out {
		return t.Elements() == int64(m.In)
	}
	feedforward, known := g.scales.feedforward(m.Name)
	if !known {
		panic(fail(lora.ErrFormat, tensorField(t.Name), "has shape %v, which does not show whether it scales the inputs or the outputs of %s: "+
			"PEFT's adapter_config.json must be beside the file, which must be called adapter_model", t.Shape, describe(m)))
	}
	return feedforward
}
