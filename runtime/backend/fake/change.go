package fake

import (
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// changed is what a row wants to see where the evaluation changes something inside the UNet: a perturbed row wants less, by the layers that
// are perturbed, and FreeU shifts all.
func (m *model) changed(in backend.UNetInput, row int, target [latentChannels]float32) [latentChannels]float32 {
	c, n := in.Change, in.Sample.Shape[0]
	keep := float32(1)
	switch {
	case row >= n-c.BlurredRows:
		keep = 1 - 0.1*float32(1+strings.Count(c.BlurredLayers, "\n"))/float32(1+1/max(c.BlurSigma, 1e-3))
	case row >= n-c.BlurredRows-c.IdentityRows:
		keep = 1 - 0.15*float32(1+strings.Count(c.IdentityLayers, "\n"))
	}
	f := c.FreeU
	if f == ([4]float64{}) {
		f = [4]float64{1, 1, 1, 1}
	}
	for ch := range target {
		target[ch] = target[ch]*keep + latentScale*float32(f[0]+2*f[1]+3*f[2]+4*f[3]-10)/100
	}
	return target
}
