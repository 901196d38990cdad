package steps

import (
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// perturbs says what is perturbed in evaluation i: where a scale is 0, or it is not its time, the rows are left out. A refiner has other
// layers.
func (b *Batch) perturbs(i int, refiner bool) perturbed {
	if refiner {
		return perturbed{}
	}
	r := &b.lead().Request
	return perturbed{identity: r.PAG.On() && b.within(i, r.PAG.Start, r.PAG.End) && b.pagScale(b.lead(), i) > 0,
		blurred: r.SEG.On() && b.within(i, r.SEG.Start, r.SEG.End)}
}

// within reports whether a part of the steps has evaluation i. As in diffusers' guiders, the step that start falls on is not in it. But the
// first is where nothing is said, as in its PAG pipelines.
func (b *Batch) within(i int, start, end float64) bool {
	n := float64(b.controlSteps)
	return (start == 0 || i > int(start*n)) && i < int(end*n)
}

// pagScale is the scale of perturbed-attention guidance at evaluation i: diffusers' _get_pag_scale.
func (b *Batch) pagScale(m *Member, i int) float32 {
	p := m.Request.PAG
	return float32(max(p.Scale-p.AdaptiveScale*(1000-b.run.Timesteps()[i]), 0))
}

// push is a perturbed prediction, and how far to go away from it.
type push struct {
	scale float32
	from  []float32
}

// pushAway adds to a guided prediction how far the positive half is from perturbed ones.
func pushAway(guided, positive []float32, pushes []push) {
	for _, p := range pushes {
		for k, v := range p.from {
			guided[k] += float32(p.scale * (positive[k] - v))
		}
	}
}

// changeOf is what the evaluation of so many of all rows changes inside the base's UNet, from row first on.
func (b *Batch) changeOf(p perturbed, all, first, rows int) backend.UNetChange {
	c, n := b.lead().Change, b.Len()
	from := all - p.kinds()*n // the first perturbed row
	overlap := func(from int) int { return max(0, min(from+n, first+rows)-max(from, first)) }
	c.IdentityRows, c.BlurredRows = 0, 0
	if p.identity {
		c.IdentityRows = overlap(from)
		from += n
	}
	if p.blurred {
		c.BlurredRows = overlap(from)
	}
	if c.IdentityRows == 0 {
		c.IdentityLayers = ""
	}
	if c.BlurredRows == 0 {
		c.BlurredLayers, c.BlurSigma = "", 0
	}
	return c
}
