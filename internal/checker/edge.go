package checker

// mixed is how far from both colours a pixel of the edge must be, as a part of the distance between them.
const mixed = 0.15

// edgeWidth counts the pixels of the picture that are neither of the two colours, for every pixel of the object that
// touches another one.
func (p pixels) edgeWidth(object []bool, colour, background [3]uint8) float64 {
	limit := mixed * mixed * distance2(colour, background)
	core := erode(object, p.w, p.h, false)
	between, edge := 0, 0
	for i, c := range p.rgb {
		if min(distance2(c, colour), distance2(c, background)) > limit {
			between++
		}
		if object[i] && !core[i] {
			edge++
		}
	}
	return float64(between) / float64(max(edge, 1))
}
