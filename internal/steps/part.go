package steps

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
