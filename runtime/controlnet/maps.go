package controlnet

import (
	"image"
	"math"
	"slices"

	xdraw "golang.org/x/image/draw"

	"github.com/daguerre-go/daguerre/internal/picture"
)

// softEdge shows the length of the gradient of the blurred luma, scaled so that the 99th percentile is white.
func softEdge(img *image.NRGBA, o values) *image.NRGBA {
	dx, dy := luma(img).blur(o["sigma"]).sobel()
	size := newPlane(dx.w, dx.h)
	for i := range size.v {
		size.v[i] = float32(math.Hypot(float64(dx.v[i]), float64(dy.v[i])))
	}
	sorted := slices.Clone(size.v)
	slices.Sort(sorted)
	const floor = 8 // the gradient of a step of 2 of 255: what is less is noise, and must not become white
	white := max(sorted[len(sorted)*99/100], floor)
	for i, v := range size.v {
		size.v[i] = 255 * min(v/white, 1)
	}
	return size.grey()
}

// lineart shows how much darker a pixel is than its surroundings, in the channel where that is least. The median line becomes half white.
func lineart(img *image.NRGBA, o values) *image.NRGBA {
	dark := least(img, func(p plane) plane { return p.blur(o["sigma"]).minus(p) })
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
	darker := least(img, func(p plane) plane { return p.blur(5).minus(p.blur(0.5)) })
	return mask(img.Rect, func(i int) bool { return 2*darker.v[i] > float32(o["threshold"]) })
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
	return mask(img.Rect, func(i int) bool { return p.v[i] > float32(o["threshold"]) })
}

func recolor(img *image.NRGBA, o values) *image.NRGBA {
	p := luma(img)
	for i, v := range p.v {
		p.v[i] = 255 * float32(math.Pow(float64(v)/255, o["gamma"]))
	}
	return p.grey()
}
