package steps

import (
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// span says where a loop's steps are among those of its whole pass. Parts of the steps are of the whole: what an earlier run or the base has
// done counts, and what a later run or the refiner will do.
type span struct {
	first, whole int
}

// spread counts the steps of a pass, where the request asks for parts of them.
func (b *Batch) spread(o scheduler.RunOptions) error {
	b.span = span{}
	if r := &b.lead().Request; !r.GuidanceInterval() && r.Reuse == (request.Reuse{}) {
		return nil
	}
	o.DenoisingEnd = 0
	rest, err := b.lead().NewRun(b.Len(), o)
	if err != nil {
		return err
	}
	b.span = span{0, rest.NumSteps()}
	if o.DenoisingStart == 0 {
		return nil
	}
	o.DenoisingStart = 0
	whole, err := b.lead().NewRun(b.Len(), o)
	if err != nil {
		return err
	}
	b.span = span{whole.NumSteps() - rest.NumSteps(), whole.NumSteps()}
	return nil
}

// part is a batch of some of the pictures, which shares everything with b.
func (b *Batch) part(which []int) *Batch {
	p := *b
	p.Slots, p.Members, p.Seeds, p.generators = nil, nil, nil, nil
	if b.given != nil && b.given.masked != nil {
		given := *b.given
		given.masked = b.gather(b.given.masked, which)
		p.given = &given
	}
	for _, i := range which {
		p.Slots = append(p.Slots, b.Slots[i])
	}
	return &p
}

// gather copies the values of some of the pictures.
func (b *Batch) gather(values []float32, which []int) (out []float32) {
	for _, i := range which {
		out = append(out, b.image(values, i)...)
	}
	return out
}
