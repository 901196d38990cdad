package steps

import (
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// pictures are those that count in evaluation i of input k. They belong to the base: a refiner sees none.
func (g *guided) pictures(k int, b *Batch, i int) (out []backend.ImagePrompt) {
	if g.refiner {
		return nil
	}
	rows := g.inputs[k].Sample.Shape[0]
	for _, s := range b.lead().Pictures {
		if !s.acts(i, b.controlSteps) {
			continue
		}
		p := backend.ImagePrompt{Values: s.values, Count: 2, Tokens: s.tokens, OfRow: make([]int32, rows),
			Mask: s.maskAt(g.model.Info.UNet, b.Height, b.Width, b.settings.Downscale)}
		first := g.positive(k, rows, b)
		if first == 0 || first == rows { // one half alone
			half := len(s.values) / 2
			p.Count, p.Values = 1, s.values[half:]
			if first == rows {
				p.Values = s.values[:half]
			}
		} else {
			for row := first; row < rows; row++ {
				p.OfRow[row] = 1
			}
		}
		for range rows {
			p.Scales = append(p.Scales, s.scales...)
		}
		out = append(out, p)
	}
	return out
}

// positive is the first row of the positive half among those of input k; as many as there are if it is the negative half.
func (g *guided) positive(k, rows int, b *Batch) int {
	switch {
	case g.guidance && len(g.inputs) == 1:
		return b.Len()
	case g.guidance && k == 0:
		return rows
	}
	return 0
}
