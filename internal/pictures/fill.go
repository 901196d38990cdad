package pictures

import (
	"image"

	"github.com/daguerre-go/daguerre/internal/picture"
)

// fillings are the blurs that A1111 fills a masked part with, from the widest to none, and how often each is laid over those before it.
var fillings = []struct {
	deviation float64
	times     int
}{{256, 1}, {64, 1}, {16, 2}, {4, 4}, {2, 2}, {0, 1}}

// fillMasked covers what a mask marks with the colours around it: ever narrower blurs of what is kept, one over the other.
func fillMasked(img *image.NRGBA, mask *image.Gray) *image.NRGBA {
	kept := image.NewNRGBA(img.Rect) // colours multiplied by alpha
	for i := range mask.Pix {
		for c := range 4 {
			kept.Pix[4*i+c] = mixed(img.Pix[4*i+c], 0, mask.Pix[i])
		}
	}
	out := image.NewNRGBA(img.Rect)
	for _, f := range fillings {
		layer := image.NewNRGBA(img.Rect)
		copy(layer.Pix, kept.Pix)
		picture.BlurFour(layer, f.deviation)
		for range f.times {
			for i := 0; i < len(out.Pix); i += 4 {
				lay(out.Pix[i:i+4], layer.Pix[i:i+4])
			}
		}
	}
	for i := 3; i < len(out.Pix); i += 4 {
		out.Pix[i] = 255
	}
	return out
}

// lay lays a pixel whose colours are multiplied by its alpha over one whose colours are not.
func lay(below, above []byte) {
	a, b := int(above[3]), int(below[3])
	if a == 0 {
		return
	}
	whole := 255*a + b*(255-a) // the alpha of both, times 255
	for c := range 3 {
		colour := min(255*int(above[c])/a, 255)
		below[c] = byte((colour*255*a + int(below[c])*b*(255-a) + whole/2) / whole)
	}
	below[3] = byte((whole + 127) / 255)
}
