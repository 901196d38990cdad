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

// tile is the batch as it is in one tile. It shares everything that has no place in the picture.
func (b *Batch) tile(d *tiles, tile int) *Batch {
	p := *b
	p.Height, p.Width, p.at = d.height, d.width, tile
	if b.given != nil && b.given.masked != nil {
		given := *b.given
		cells := d.height * d.width
		given.shown = make([]float32, len(given.shown)/(b.Height*b.Width)*cells)
		given.masked = make([]float32, len(given.masked)/(b.Height*b.Width)*cells)
		d.cut(given.shown, b.given.shown, tile, b.Height, b.Width)
		d.cut(given.masked, b.given.masked, tile, b.Height, b.Width)
		p.given = &given
	}
	return &p
}
