package controlnet

import (
	"image"
	"math"
	"slices"

	xdraw "golang.org/x/image/draw"

	"github.com/daguerre-go/daguerre/internal/picture"
)

// softEdge is the length of the gradient of the blurred luma, the 99th percentile being nearly white.
func softEdge(img *image.NRGBA, o values) *image.NRGBA {
	dx, dy := luma(img).blur(o["sigma"]).sobel()
	size := newPlane(dx.w, dx.h)
	for i := range size.v {
		size.v[i] = float32(math.Hypot(float64(dx.v[i]), float64(dy.v[i])))
	}
	sorted := slices.Clone(size.v)
	slices.Sort(sorted)
	const floor = 8 // a step of 2 of 255: below it, it is noise that would be stretched to white
	white := max(sorted[len(sorted)*99/100], floor)
	for i, v := range size.v {
		size.v[i] = 255 * min(v/white, 1)
	}
	return size.grey()
}

// lineart is what the darkest-against-surroundings channel lacks to its surroundings, scaled so that the median line is half white.
func lineart(img *image.NRGBA, o values) *image.NRGBA {
	var dark plane
	for c := range 3 {
		p := channel(img, c)
		around := p.blur(o["sigma"])
		for i := range around.v {
			around.v[i] -= p.v[i]
		}
		if c == 0 {
			dark = around
			continue
		}
		for i, v := range around.v {
			dark.v[i] = min(dark.v[i], v)
		}
	}
	var lines []float32
	for i, v := range dark.v {
		dark.v[i] = min(max(v, 0), 255)
		if dark.v[i] > float32(o["threshold"]) {
			lines = append(lines, dark.v[i])
		}
	}
	const floor = 16 // keeps a faint picture's noise from becoming lines
	scale := float32(floor)
	if len(lines) > 0 {
		slices.Sort(lines)
		scale = max(scale, lines[len(lines)/2])
	}
	for i := range dark.v {
		dark.v[i] *= 127 / scale
	}
	return dark.grey()
}

// scribble marks where a narrow blur is darker than a wide one by more than half the threshold, in every channel.
func scribble(img *image.NRGBA, o values) *image.NRGBA {
	out := image.NewNRGBA(img.Rect)
	least := newPlane(img.Rect.Dx(), img.Rect.Dy())
	for c := range 3 {
		p := channel(img, c)
		narrow, wide := p.blur(0.5), p.blur(5)
		for i := range least.v {
			if d := wide.v[i] - narrow.v[i]; c == 0 || d < least.v[i] {
				least.v[i] = d
			}
		}
	}
	for i, v := range least.v {
		if 2*v > float32(o["threshold"]) {
			set(out, i, 255)
		} else {
			set(out, i, 0)
		}
	}
	return out
}

func invert(img *image.NRGBA, _ values) *image.NRGBA {
	out := image.NewNRGBA(img.Rect)
	for i, v := range img.Pix {
		out.Pix[i] = 255 - v
		if i%4 == 3 {
			out.Pix[i] = 255
		}
	}
	return out
}

func tile(img *image.NRGBA, o values) *image.NRGBA {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	rate := o["down_sampling_rate"]
	small := image.NewNRGBA(image.Rect(0, 0, max(int(math.Round(float64(w)/rate)), 1), max(int(math.Round(float64(h)/rate)), 1)))
	xdraw.CatmullRom.Scale(small, small.Rect, img, img.Rect, xdraw.Src, nil)
	return picture.Resize(small, w, h)
}

func blurred(img *image.NRGBA, o values) *image.NRGBA {
	out := image.NewNRGBA(img.Rect)
	for c := range 3 {
		for i, v := range channel(img, c).blur(o["sigma"]).v {
			out.Pix[4*i+c], out.Pix[4*i+3] = byteOf(v), 255
		}
	}
	return out
}

func threshold(img *image.NRGBA, o values) *image.NRGBA {
	p := luma(img)
	for i, v := range p.v {
		p.v[i] = 0
		if v > float32(o["threshold"]) {
			p.v[i] = 255
		}
	}
	return p.grey()
}

func recolor(img *image.NRGBA, o values) *image.NRGBA {
	p := luma(img)
	for i, v := range p.v {
		p.v[i] = 255 * float32(math.Pow(float64(v)/255, o["gamma"]))
	}
	return p.grey()
}
