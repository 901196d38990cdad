// Package picture reads picture files and brings pictures to the form models take: opaque, upright and of a given size.
package picture

import (
	"image"
	"image/color"
	"image/draw"
	"math"

	xdraw "golang.org/x/image/draw"
)

// Lanczos is the resampling kernel that diffusers' VaeImageProcessor uses by default: a sinc windowed by a three times wider
// one.
var Lanczos = xdraw.Kernel{Support: 3, At: func(t float64) float64 {
	if t == 0 {
		return 1
	}
	x := math.Pi * t
	return 3 * math.Sin(x) * math.Sin(x/3) / (x * x)
}}

// Opaque copies a picture's colours to the origin and drops its alpha, as Pillow's convert("RGB") does: what is transparent has the colour
// that the file gives it.
func Opaque(img image.Image) *image.NRGBA {
	b := img.Bounds()
	size := image.Rect(0, 0, b.Dx(), b.Dy())
	if o, ok := img.(interface{ Opaque() bool }); ok && o.Opaque() {
		fast := image.NewRGBA(size) // the same bytes, where nothing is transparent
		draw.Draw(fast, size, img, b.Min, draw.Src)
		return &image.NRGBA{Pix: fast.Pix, Stride: fast.Stride, Rect: size}
	}
	from := straight(img)
	out := image.NewNRGBA(size)
	for y := range b.Dy() {
		copy(out.Pix[y*out.Stride:][:4*b.Dx()], from.Pix[from.PixOffset(b.Min.X, b.Min.Y+y):])
	}
	for i := 3; i < len(out.Pix); i += 4 {
		out.Pix[i] = 255
	}
	return out
}

// straight returns a picture with 8 bits a channel, and with colours that are not multiplied by alpha. It keeps the colours of transparent
// pixels; Go's own conversions lose them.
func straight(img image.Image) *image.NRGBA {
	switch img := img.(type) {
	case noted:
		return img.NRGBA
	case *image.NRGBA:
		return img
	}
	b := img.Bounds()
	out := image.NewNRGBA(b)
	switch img := img.(type) {
	case *image.NRGBA64:
		for y := b.Min.Y; y < b.Max.Y; y++ {
			to, from := out.Pix[out.PixOffset(b.Min.X, y):], img.Pix[img.PixOffset(b.Min.X, y):]
			for i := range 4 * b.Dx() {
				to[i] = from[2*i] // the high byte
			}
		}
	case *image.Paletted:
		colours := make([]color.NRGBA, len(img.Palette))
		for i, c := range img.Palette {
			colours[i] = color.NRGBAModel.Convert(c).(color.NRGBA)
		}
		for y := b.Min.Y; y < b.Max.Y; y++ {
			for x := b.Min.X; x < b.Max.X; x++ {
				if i := int(img.ColorIndexAt(x, y)); i < len(colours) {
					out.SetNRGBA(x, y, colours[i])
				}
			}
		}
	default:
		draw.Draw(out, b, img, b.Min, draw.Src)
	}
	return out
}
