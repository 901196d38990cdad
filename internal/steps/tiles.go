package steps

import (
	"math"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// tiles are the parts of a pass that the UNet sees one after the other, all of the same size, in cells of the latents.
type tiles struct {
	height, width int
	at            [][2]int  // upper left corners: y, x
	weight        []float32 // of a tile's cells, row by row
	total         []float32 // of the picture's cells: the sum over all tiles
}

// newTiles divides a pass of height x width cells; nil: the UNet sees it whole.
func newTiles(t request.TiledDiffusion, downscale, height, width int) *tiles {
	if !t.On() {
		return nil
	}
	d := &tiles{height: min(t.TileHeight/downscale, height), width: min(t.TileWidth/downscale, width)}
	overlap := t.Overlap / downscale
	for _, y := range starts(height, d.height, overlap) {
		for _, x := range starts(width, d.width, overlap) {
			d.at = append(d.at, [2]int{y, x})
		}
	}
	if len(d.at) == 1 {
		return nil
	}
	d.weight = make([]float32, d.height*d.width)
	for i := range d.weight {
		d.weight[i] = 1
		if t.Method == "mixture" {
			d.weight[i] = float32(bell(i/d.width, d.height, float64(d.height)/2) * bell(i%d.width, d.width, float64(d.width-1)/2))
		}
	}
	d.total = make([]float32, height*width)
	for _, at := range d.at {
		for i, w := range d.weight {
			d.total[(at[0]+i/d.width)*width+at[1]+i%d.width] += w
		}
	}
	return d
}

// starts spreads as few tiles as have the overlap evenly over a side.
func starts(side, tile, overlap int) []int {
	n := 1
	if side > tile {
		n = (side - overlap + tile - overlap - 1) / (tile - overlap)
	}
	out := make([]int, n)
	for i := range out {
		if n > 1 {
			out[i] = i * (side - tile) / (n - 1)
		}
	}
	return out
}

// bell is the weight of cell i of n in Mixture of Diffusers (arXiv 2302.02412): a Gaussian with variance 0.01 of the side. The authors'
// middle is n/2 from above, and (n-1)/2 from the left.
func bell(i, n int, middle float64) float64 {
	const variance = 0.01
	x := (float64(i) - middle) / float64(n)
	return math.Exp(-x*x/(2*variance)) / math.Sqrt(2*math.Pi*variance)
}

// cut copies a tile out of planes of height x width cells.
func (d *tiles) cut(to, planes []float32, tile, height, width int) {
	at, n := d.at[tile], 0
	for first := 0; first < len(planes); first += height * width {
		for y := at[0]; y < at[0]+d.height; y++ {
			n += copy(to[n:], planes[first+y*width+at[1]:][:d.width])
		}
	}
}

// add adds a tile's weighted values to planes of height x width cells.
func (d *tiles) add(planes, values []float32, tile, height, width int) {
	at := d.at[tile]
	for first := 0; len(values) > 0; first += height * width {
		for i, w := range d.weight {
			planes[first+(at[0]+i/d.width)*width+at[1]+i%d.width] += float32(w * values[i])
		}
		values = values[len(d.weight):]
	}
}

// divide makes means of what was added.
func (d *tiles) divide(planes []float32) {
	for i := range planes {
		planes[i] /= d.total[i%len(d.total)]
	}
}
