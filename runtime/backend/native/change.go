package native

import (
	"strings"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// nativeChange translates what an evaluation changes; nil: nothing.
func nativeChange(c backend.UNetChange) *bindings.UNetChange {
	if c == (backend.UNetChange{}) {
		return nil
	}
	out := &bindings.UNetChange{IdentityRows: int64(c.IdentityRows), BlurredRows: int64(c.BlurredRows),
		IdentityLayers: bindings.Text(c.IdentityLayers), BlurredLayers: bindings.Text(c.BlurredLayers), BlurSigma: c.BlurSigma,
		FreeUS1: c.FreeU[0], FreeUS2: c.FreeU[1], FreeUB1: c.FreeU[2], FreeUB2: c.FreeU[3]}
	if c.FreeU != ([4]float64{}) {
		out.FreeU = 1
	}
	return out
}

// blocksOf lists the UNet's transformer blocks by the weights that each has.
func blocksOf(t *backend.Table) (names []string) {
	for _, w := range t.Weights {
		name, isBlock := strings.CutSuffix(w.Name, ".attn1.to_q.weight")
		if name, ofUNet := strings.CutPrefix(name, "unet."); isBlock && ofUNet {
			names = append(names, name)
		}
	}
	return names
}
