package vae

import (
	"math"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// PSNR is the peak signal-to-noise ratio in dB of two pictures of one shape with values in [-1, 1], which are clamped to it first:
// 10 log10(2^2 / mean squared difference). Equal pictures have +Inf; values that are not finite count as -1.
func PSNR(a, b backend.Tensor) float64 {
	sum := 0.0
	for i := range a.Data {
		d := shown(a.Data[i]) - shown(b.Data[i])
		sum += d * d
	}
	return 10 * math.Log10(4*float64(len(a.Data))/sum)
}

// shown is the value a picture shows for v.
func shown(v float32) float64 {
	if v-v != 0 {
		return -1
	}
	return min(max(float64(v), -1), 1)
}

// luma is the first picture of t, [1, 3, H, W] in [-1, 1], as the luma of ITU-R BT.601 in [0, 1].
func luma(t backend.Tensor) []float64 {
	n := t.Shape[2] * t.Shape[3]
	out := make([]float64, n)
	for i := range out {
		y := 0.299*shown(t.Data[i]) + 0.587*shown(t.Data[n+i]) + 0.114*shown(t.Data[2*n+i])
		out[i] = y/2 + 0.5
	}
	return out
}

// SSIM is the mean structural similarity of two pictures' luma, 1 for equal ones: Wang et al., "Image quality assessment", 2004,
// with the paper's Gaussian window of 11 pixels and deviation 1.5, K1 = 0.01 and K2 = 0.03, borders by the nearest pixel.
func SSIM(a, b backend.Tensor) float64 {
	h, w := a.Shape[2], a.Shape[3]
	x, y := luma(a), luma(b)
	xx, yy, xy := make([]float64, len(x)), make([]float64, len(x)), make([]float64, len(x))
	for i := range x {
		xx[i], yy[i], xy[i] = x[i]*x[i], y[i]*y[i], x[i]*y[i]
	}
	mx, my := window(x, h, w), window(y, h, w)
	xx, yy, xy = window(xx, h, w), window(yy, h, w), window(xy, h, w)
	const c1, c2 = 0.01 * 0.01, 0.03 * 0.03
	sum := 0.0
	for i := range x {
		vx, vy, cov := xx[i]-mx[i]*mx[i], yy[i]-my[i]*my[i], xy[i]-mx[i]*my[i]
		sum += (2*mx[i]*my[i] + c1) * (2*cov + c2) / ((mx[i]*mx[i] + my[i]*my[i] + c1) * (vx + vy + c2))
	}
	return sum / float64(len(x))
}

// window averages h x w values with SSIM's Gaussian.
func window(v []float64, h, w int) []float64 {
	const radius, sigma = 5, 1.5
	var kernel [2*radius + 1]float64
	total := 0.0
	for i := range kernel {
		d := float64(i - radius)
		kernel[i] = math.Exp(-d * d / (2 * sigma * sigma))
		total += kernel[i]
	}
	for i := range kernel {
		kernel[i] /= total
	}
	average := func(v []float64, at func(x, y, d int) int) []float64 {
		out := make([]float64, len(v))
		for i := range out {
			for d, k := range kernel {
				out[i] += k * v[at(i%w, i/w, d-radius)]
			}
		}
		return out
	}
	rows := average(v, func(x, y, d int) int { return y*w + min(max(x+d, 0), w-1) })
	return average(rows, func(x, y, d int) int { return min(max(y+d, 0), h-1)*w + x })
}

// ColourShift is the mean difference b - a of each channel, in units of 8-bit colour.
func ColourShift(a, b backend.Tensor) [3]float64 {
	var out [3]float64
	n := len(a.Data) / 3
	for c := range out {
		for i := range n {
			out[c] += shown(b.Data[c*n+i]) - shown(a.Data[c*n+i])
		}
		out[c] *= 127.5 / float64(n)
	}
	return out
}

// seamReach is how far from a seam, in pixels, its surroundings go.
const seamReach = 8

// SeamExcess is how much more difference there is across the seams of a tiled picture than at the same places of the undivided one,
// as a share of what their surroundings have: 0 where tiling shows nowhere.
func SeamExcess(tiled, whole backend.Tensor, rows, columns []int) float64 {
	a, beside := seamEnergies(tiled, rows, columns)
	b, _ := seamEnergies(whole, rows, columns)
	if beside == 0 {
		return 0
	}
	return (a - b) / beside
}

// seamEnergies are the mean absolute differences between the pixels on both sides of the seams, and of a few pixels beside them. rows and
// columns are the first pixels after each seam.
func seamEnergies(t backend.Tensor, rows, columns []int) (at, beside float64) {
	h, w := t.Shape[2], t.Shape[3]
	y := luma(t)
	var counts [2]float64
	collect := func(lines []int, size int, energy func(int) float64) {
		for _, line := range lines {
			for d := -seamReach; d <= seamReach; d++ {
				if line+d < 1 || line+d >= size {
					continue
				}
				if d == 0 {
					at, counts[0] = at+energy(line), counts[0]+1
				} else {
					beside, counts[1] = beside+energy(line+d), counts[1]+1
				}
			}
		}
	}
	collect(columns, w, func(x int) (sum float64) {
		for r := range h {
			sum += math.Abs(y[r*w+x] - y[r*w+x-1])
		}
		return sum / float64(h)
	})
	collect(rows, h, func(r int) (sum float64) {
		for x := range w {
			sum += math.Abs(y[r*w+x] - y[(r-1)*w+x])
		}
		return sum / float64(w)
	})
	return at / max(counts[0], 1), beside / max(counts[1], 1)
}

// Seams returns the rows and columns, in pixels, at which tiles of the plan begin and end inside the picture; unit is pixels a cell.
func (p Plan) Seams(unit int) (rows, columns []int) {
	edges := func(tiles []span) (out []int) {
		for i, t := range tiles {
			if i > 0 {
				out = append(out, t.from*unit)
			}
			if i+1 < len(tiles) {
				out = append(out, t.to*unit)
			}
		}
		return out
	}
	return edges(p.grid.rows), edges(p.grid.columns)
}
