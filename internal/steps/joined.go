package steps

import (
	"slices"

	"github.com/daguerre-go/daguerre/internal/prepare"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Join makes one of the pictures that a Union net sees in the same evaluation, for each net of a request. controls are those of specs, one
// by one. Weights are then of the pictures, and no longer of the residuals, as in diffusers' ControlNetUnionModel.
func Join(controls []*Control, specs []prepare.Control) []*Control {
	var out []*Control
	for i, c := range controls {
		list := prepare.Together(specs, i)
		if len(list) > 1 {
			joined := *c
			joined.kind = 0
			joined.hint, joined.second = slices.Clone(c.hint), slices.Clone(c.second)
			joined.scales = residualScales(len(c.scales), 1, c.spec.Mode)
			for _, k := range list {
				other := controls[k]
				joined.kinds = append(joined.kinds, backend.HintKind{Type: other.kind, Weight: float32(other.spec.Weight)})
				if k != i {
					joined.hint.append(other.hint)
					joined.second.append(other.second)
				}
			}
			c = &joined
		}
		if len(list) > 0 {
			out = append(out, c)
		}
	}
	return out
}

// append puts other hints behind these, tile by tile.
func (h hints) append(other hints) {
	for tile, t := range h {
		more := other[tile]
		shape := slices.Clone(t.Shape)
		shape[0] += more.Shape[0]
		h[tile] = backend.Tensor{Shape: shape, Data: slices.Concat(t.Data, more.Data)}
	}
}
