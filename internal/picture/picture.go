// Package picture reads picture files and brings pictures to the form models take: opaque, upright and of a given size.
package picture

import (
	"image"
	"image/draw"
	"math"

	xdraw "golang.org/x/image/draw"
)

// Lanczos is the resampling kernel that diffusers' VaeImageProcessor uses by default: a sinc windowed by a three times wider
// one. (Pillow computes it in fixed point; results differ by a unit at most.)
var Lanczos = xdraw.Kernel{Support: 3, At: func(t float64) float64 {
	if t == 0 {
		return 1
	}
	x := math.Pi * t
	return 3 * math.Sin(x) * math.Sin(x/3) / (x * x)
}}

// Opaque copies a picture's colours to the origin and drops its alpha, as Pillow's convert("RGB") does.
func Opaque(img image.Image) *image.NRGBA {
	b := img.Bounds()
	size := image.Rect(0, 0, b.Dx(), b.Dy())
	if o, ok := img.(interface{ Opaque() bool }); ok && o.Opaque() {
		fast := image.NewRGBA(size) // the same bytes, where nothing is transparent
		draw.Draw(fast, size, img, b.Min, draw.Src)
		return &image.NRGBA{Pix: fast.Pix, Stride: fast.Stride, Rect: size}
	}
	out := image.NewNRGBA(size)
	draw.Draw(out, size, img, b.Min, draw.Src)
	for i := 3; i < len(out.Pix); i += 4 {
		out.Pix[i] = 255
	}
	return out
}

// Resize scales an opaque picture to width x height with Lanczos; one of that size already is returned as it is.
func Resize(img *image.NRGBA, width, height int) *image.NRGBA {
	if img.Rect.Dx() == width && img.Rect.Dy() == height {
		return img
	}
	out := image.NewNRGBA(image.Rect(0, 0, width, height))
	Lanczos.Scale(out, out.Rect, img, img.Rect, xdraw.Src, nil)
	return out
}
