// Package regions lays out the parts of a picture that have prompts of their own: how much each prompt counts in each cell of the latents.
package regions

import (
	"fmt"
	"image"
	"math"

	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// least is the smallest share that counts: less is what is left of rounding.
const least = 1e-5

// Shares returns how much each prompt counts in each cell of a grid, the request's own prompt first and then those of its regions; in each
// cell they sum to 1. A region covers a cell in part where its border goes through it. The request's own prompt has what regions leave
// free, and at least PromptWeight; it is nil where it counts nowhere. The request has its size, and pictures are decoded.
func Shares(r *request.Request, height, width int) [][]float32 {
	sums := make([]float64, height*width) // how much of a cell regions cover
	weights := make([][]float64, len(r.Regions))
	totals := make([]float64, len(sums))
	for k, g := range r.Regions {
		weights[k] = covers(r, g, height, width)
		weight := 1.0
		if g.Weight != nil {
			weight = *g.Weight
		}
		for i, c := range weights[k] {
			sums[i] += c
			weights[k][i] *= weight
			totals[i] += weights[k][i]
		}
	}
	own, counts := make([]float64, len(sums)), false
	for i, s := range sums {
		own[i] = max(r.PromptWeight, 1-s)
		if own[i] < least {
			own[i] = 0
		}
		counts = counts || own[i] > 0
		totals[i] += own[i]
	}
	out := make([][]float32, 1+len(weights))
	if counts {
		out[0] = shares(own, totals)
	}
	for k, w := range weights {
		out[1+k] = shares(w, totals)
	}
	return out
}

func shares(weights, totals []float64) []float32 {
	out := make([]float32, len(weights))
	for i, w := range weights {
		out[i] = float32(w / totals[i])
	}
	return out
}

// Alone reports whether the regions cover the whole picture, so that the request's own prompt counts nowhere.
func Alone(r *request.Request, height, width int) bool {
	return len(r.Regions) > 0 && Shares(r, height, width)[0] == nil
}

// Levels brings the shares of a prompt in height x width cells to each of some sizes, [height, width], and lists them one after the other.
// In each cell of each size the shares of all prompts still sum to 1.
func Levels(shares []float32, height, width int, sizes [][2]int) (out []float32) {
	for _, size := range sizes {
		for _, v := range average(shares, width, height, size[1], size[0]) {
			out = append(out, float32(v))
		}
	}
	return out
}

// covers is how much of each cell a region covers.
func covers(r *request.Request, g request.Region, height, width int) []float64 {
	if g.Box == nil {
		img := picture.Opaque(g.Mask.Image)
		return average(picture.Grey(img), img.Rect.Dx(), img.Rect.Dy(), width, height)
	}
	b := g.Share(r.Width, r.Height)
	columns, rows := overlaps(b[0], b[2], width), overlaps(b[1], b[3], height)
	out := make([]float64, 0, width*height)
	for _, y := range rows {
		for _, x := range columns {
			out = append(out, x*y)
		}
	}
	return out
}

// overlaps is how much of each of n cells lies between two parts of a line.
func overlaps(from, to float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		low, high := max(from*float64(n), float64(i)), min(to*float64(n), float64(i+1))
		out[i] = max(high-low, 0)
	}
	return out
}

// average makes a plane smaller or larger: each cell is the mean of what lies under it.
func average(plane []float32, width, height, toWidth, toHeight int) []float64 {
	narrow := make([]float64, 0, toWidth*height)
	for y := range height {
		line := plane[y*width : (y+1)*width]
		for x := range toWidth {
			narrow = append(narrow, mean(width, toWidth, x, func(i int) float64 { return float64(line[i]) }))
		}
	}
	out := make([]float64, 0, toWidth*toHeight)
	for y := range toHeight {
		for x := range toWidth {
			out = append(out, mean(height, toHeight, y, func(i int) float64 { return narrow[i*toWidth+x] }))
		}
	}
	return out
}

// mean is cell x of many that a line of n values is brought to.
func mean(n, many, x int, at func(int) float64) float64 {
	from, to := float64(x)*float64(n)/float64(many), float64(x+1)*float64(n)/float64(many)
	sum := 0.0
	for i := int(from); i < n && float64(i) < to; i++ {
		sum += at(i) * (min(to, float64(i+1)) - max(from, float64(i)))
	}
	return sum / (to - from)
}

// Check says what is wrong with a request's regions; errors are filed under their keys. What depends on the picture's size is checked where
// the request has one, and what a mask shows where it is decoded.
func Check(r *request.Request, at func(key string) string, errs *request.Errors) {
	for i, g := range r.Regions {
		mask := at(fmt.Sprintf("region[%d].mask", i))
		switch img := g.Mask.Image; {
		case g.Box != nil && r.Width > 0 && r.Height > 0:
			if b := g.Share(r.Width, r.Height); b[2] > 1 || b[3] > 1 {
				errs.Add(at(fmt.Sprintf("region[%d].box", i)), "is %v, and the picture is %d x %d: the region reaches outside", *g.Box, r.Width,
					r.Height)
			}
		case img == nil:
		case transparent(img):
			errs.AddFile(mask, "has transparent parts, so that it is not clear where the region is; give an opaque picture, white where its "+
				"prompt counts")
		case empty(picture.Grey(picture.Opaque(img))):
			errs.AddFile(mask, "is black everywhere, so that the region is nowhere; white is where its prompt counts")
		case r.Width > 0 && r.Height > 0 && !proportional(img.Bounds().Dx(), img.Bounds().Dy(), r.Width, r.Height):
			errs.AddFile(mask, "is %d x %d, and the picture is %d x %d; give a mask of the picture's size, or of its proportions",
				img.Bounds().Dx(), img.Bounds().Dy(), r.Width, r.Height)
		}
	}
}

func transparent(img image.Image) bool {
	o, ok := img.(interface{ Opaque() bool })
	return ok && !o.Opaque()
}

func empty(plane []float32) bool {
	for _, v := range plane {
		if v > 0 {
			return false
		}
	}
	return true
}

// proportional reports whether a mask has the proportions of a picture, but for rounding to a pixel.
func proportional(w, h, width, height int) bool {
	wanted := float64(w) * float64(height) / float64(width)
	return math.Abs(wanted-float64(h)) <= max(1, float64(h)/float64(w))
}
