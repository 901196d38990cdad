package vae

import (
	"math"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// smallWidth is the number of channels below which a VAE is a small one: SDXL's has 512 at its widest.
const smallWidth = 256

// DrawingSize is the side of the pictures that small VAEs are checked with, in pixels: that of their training.
const DrawingSize = 128

// Small reports whether a VAE is much narrower than SDXL's, as that of the nano models is. It was trained on flat drawings, not on
// photographs, and Drawings are what it has to bring back.
func Small(info backend.VAEInfo) bool {
	widest := 0
	for _, n := range info.DecoderChannels {
		widest = max(widest, n)
	}
	return widest > 0 && widest < smallWidth
}

// Drawings are pictures like those that the nano models were trained on: one flat shape on a flat background, with smooth edges.
func Drawings(size int) []Sample {
	colour := func(r, g, b float64) [3]float64 { return [3]float64{r/127.5 - 1, g/127.5 - 1, b/127.5 - 1} }
	draw := func(name string, shape, ground [3]float64, inside func(x, y float64) bool) Sample {
		const fine = 4 // points a pixel and side
		t := backend.NewTensor(1, 3, size, size)
		for y := range size {
			for x := range size {
				hits := 0
				for k := range fine * fine {
					px, py := float64(x)+(float64(k%fine)+0.5)/fine, float64(y)+(float64(k/fine)+0.5)/fine
					if inside(2*px/float64(size)-1, 2*py/float64(size)-1) {
						hits++
					}
				}
				share := float64(hits) / (fine * fine)
				for c := range 3 {
					t.Data[(c*size+y)*size+x] = float32(ground[c] + share*(shape[c]-ground[c]))
				}
			}
		}
		return Sample{name, t}
	}
	return []Sample{
		draw("circle", colour(220, 30, 30), colour(30, 60, 210), func(x, y float64) bool { return math.Hypot(x, y) < 0.5 }),
		draw("square", colour(245, 220, 30), colour(20, 20, 20), func(x, y float64) bool {
			return max(math.Abs(x-0.3), math.Abs(y)) < 0.31
		}),
		draw("diamond", colour(30, 160, 50), colour(250, 140, 185), func(x, y float64) bool { return math.Abs(x)+math.Abs(y+0.3) < 0.36 }),
	}
}
