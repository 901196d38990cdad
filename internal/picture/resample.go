package picture

import (
	"image"
	"math"

	xdraw "golang.org/x/image/draw"
)

// coefficientBits is the precision of the weights in Pillow's resampling of 8 bits a channel.
const coefficientBits = 32 - 8 - 2

// taps are the pixels of a line that one pixel of the resized line is made of, and their weights.
type taps struct {
	first   int
	weights []int32
}

// tapsOf computes the taps of a line of n pixels that is resized to many, as Pillow does.
func tapsOf(n, many int, kernel xdraw.Kernel) []taps {
	scale := float64(n) / float64(many)
	stretch := max(scale, 1)
	support := kernel.Support * stretch
	out := make([]taps, many)
	for i := range out {
		centre := (float64(i) + 0.5) * scale
		first, last := max(int(centre-support+0.5), 0), min(int(centre+support+0.5), n)
		exact, sum := make([]float64, last-first), 0.0
		for k := range exact {
			if x := (float64(first+k) - centre + 0.5) / stretch; -kernel.Support <= x && x < kernel.Support {
				exact[k] = kernel.At(x)
			}
			sum += exact[k]
		}
		out[i] = taps{first, make([]int32, len(exact))}
		for k, w := range exact {
			out[i].weights[k] = int32(math.Round(w / sum * (1 << coefficientBits)))
		}
	}
	return out
}

// of adds up the taps of a line, whose pixels are step bytes apart.
func (t taps) of(line []byte, step int) byte {
	sum := int32(1) << (coefficientBits - 1)
	for k, w := range t.weights {
		sum += w * int32(line[(t.first+k)*step])
	}
	return byte(min(max(sum>>coefficientBits, 0), 255))
}

// Resize scales an opaque picture to width x height with Lanczos; one of that size already is returned as it is. The result is that of
// Pillow, bit for bit. Each direction is rounded to 8 bits. Width comes first, but a picture that becomes wider and lower begins with its
// height, as in Pillow 13.
func Resize(img *image.NRGBA, width, height int) *image.NRGBA {
	return resize(img, width, height, Lanczos)
}

func resize(img *image.NRGBA, width, height int, kernel xdraw.Kernel) *image.NRGBA {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	if width > w && height < h {
		return resizeWidth(resizeHeight(img, height, kernel), width, kernel)
	}
	return resizeHeight(resizeWidth(img, width, kernel), height, kernel)
}

func resizeWidth(img *image.NRGBA, width int, kernel xdraw.Kernel) *image.NRGBA {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	if w == width {
		return img
	}
	out := image.NewNRGBA(image.Rect(0, 0, width, h))
	columns := tapsOf(w, width, kernel)
	for y := range h {
		line := img.Pix[img.PixOffset(img.Rect.Min.X, img.Rect.Min.Y+y):]
		for x, t := range columns {
			for c := range 4 {
				out.Pix[y*out.Stride+4*x+c] = t.of(line[c:], 4)
			}
		}
	}
	return out
}

func resizeHeight(img *image.NRGBA, height int, kernel xdraw.Kernel) *image.NRGBA {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	if h == height {
		return img
	}
	out, from := image.NewNRGBA(image.Rect(0, 0, w, height)), img.Pix[img.PixOffset(img.Rect.Min.X, img.Rect.Min.Y):]
	for y, t := range tapsOf(h, height, kernel) {
		for i := range 4 * w {
			out.Pix[y*out.Stride+i] = t.of(from[i:], img.Stride)
		}
	}
	return out
}
