package steps

import "github.com/daguerre-go/daguerre/runtime/backend"

// xs says which ControlNet-XS takes part in evaluation i of input k. Outside of its steps the UNet is evaluated alone, as it is with a
// weight of 0.
func (g *guided) xs(k int, b *Batch, i int) {
	in := &g.inputs[k]
	in.XS = backend.XS{}
	if g.refiner {
		return
	}
	for _, c := range b.lead().Controls {
		if !c.isXS() || c.spec.Weight == 0 || !c.acts(i, b.controlSteps) {
			continue
		}
		hint := c.hint
		if b.second {
			hint = c.second
		}
		in.XS = backend.XS{Net: c.net.Model, Hint: hint[b.at], Scale: float32(c.spec.Weight)}
	}
}
