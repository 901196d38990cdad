package checker

import "image"

// rimWidth is how far from the background a pixel may lie and still belong to the object's rim, in pixels at Side: as
// wide as the outlines of the training data.
const rimWidth = 8

// Marks says how much of an object is drawn over in the contrast colour, as the nano LoRAs do: outlines colour the rim and
// leave the rest, stripes colour about half of both.
type Marks struct {
	Rim  float64 // share of the object's pixels at most rimWidth from the background, 0 to 1
	Core float64 // share of its other pixels

	Shape string  // the best template for the object with its marks
	IoU   float64 // its overlap
}

// Outline is 0 where rim and rest look alike and 1 where the rim alone is marked.
func (m Marks) Outline() float64 {
	return max(0, m.Rim-m.Core)
}

// Stripes is the share of marked pixels away from the rim: about 0.5 for stripes, 0 for outlines and plain shapes.
func (m Marks) Stripes() float64 {
	return m.Core
}

// contrastOf names the colour that outlines and stripes have: the first of black, white and red that is neither the shape's
// colour nor the background's.
func contrastOf(colour, background string) string {
	for _, c := range []string{"black", "white"} {
		if c != colour && c != background {
			return c
		}
	}
	return "red"
}

// CheckMarks looks for marks on the object of a picture of which the colours are known: every pixel counts as the
// nearest of the shape's colour, the background's and the contrast colour, and as marked if it is clearly the last. An expectation without
// one of the colours, or a picture without an object, gives the zero Marks.
func CheckMarks(img image.Image, e Expectation) Marks {
	p := newPixels(img)
	colour, okColour := paletteRGB(e.Colour)
	background, okBackground := paletteRGB(e.Background)
	contrast, _ := paletteRGB(contrastOf(e.Colour, e.Background))
	if !okColour || !okBackground || p.w < 16 || p.h < 16 {
		return Marks{}
	}
	marked, covered := make([]bool, len(p.rgb)), make([]bool, len(p.rgb))
	for i, c := range p.rgb {
		toColour, toBackground, toContrast := distance2(c, colour), distance2(c, background), distance2(c, contrast)
		marked[i] = 2*toContrast < min(toColour, toBackground) // squares; mixed edges of two colours may be nearest to a third
		covered[i] = min(toColour, toContrast) < toBackground
	}
	object, _ := largestComponent(covered, p.w, p.h)
	if object == nil || coversFrame(object, p.w, p.h) {
		return Marks{}
	}
	core := object
	for i := range rimWidth {
		core = erode(core, p.w, p.h, i%2 == 1) // in turn with and without the corners: about as far in all directions
	}
	var f Finding
	fitShape(&f, object, p.w, p.h)
	m := Marks{Shape: f.Shape, IoU: f.IoU}
	m.Rim = share(marked, object, func(i int) bool { return !core[i] })
	m.Core = share(marked, object, func(i int) bool { return core[i] })
	return m
}

// share is the part of the object's pixels chosen by which that are marked; 0 if there are none.
func share(marked, object []bool, which func(i int) bool) float64 {
	n, hits := 0, 0
	for i, in := range object {
		if in && which(i) {
			n++
			if marked[i] {
				hits++
			}
		}
	}
	return float64(hits) / float64(max(n, 1))
}

func paletteRGB(name string) (rgb [3]uint8, ok bool) {
	for _, c := range palette {
		if c.Name == name {
			return c.RGB, true
		}
	}
	return rgb, false
}
