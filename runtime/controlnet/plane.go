package controlnet

import (
	"image"
	"math"
)

// plane is one channel of a picture as numbers, row by row.
type plane struct {
	w, h int
	v    []float32
}

func newPlane(w, h int) plane { return plane{w, h, make([]float32, w*h)} }

// channel returns channel c of a picture, 0 to 255.
func channel(img *image.NRGBA, c int) plane {
	p := newPlane(img.Rect.Dx(), img.Rect.Dy())
	for i := range p.v {
		p.v[i] = float32(img.Pix[4*i+c])
	}
	return p
}

// luma returns a picture's brightness by ITU-R BT.601, 0 to 255.
func luma(img *image.NRGBA) plane {
	p := newPlane(img.Rect.Dx(), img.Rect.Dy())
	for i := range p.v {
		p.v[i] = 0.299*float32(img.Pix[4*i]) + 0.587*float32(img.Pix[4*i+1]) + 0.114*float32(img.Pix[4*i+2])
	}
	return p
}

// grey shows a plane as shades of grey, rounded, from 0 to 255.
func (p plane) grey() *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, p.w, p.h))
	for i, v := range p.v {
		set(img, i, byteOf(v))
	}
	return img
}

func byteOf(v float32) uint8 { return uint8(min(max(v, 0), 255) + 0.5) }

// mask shows the chosen pixels white, and all others black.
func mask(size image.Rectangle, chosen func(i int) bool) *image.NRGBA {
	img := image.NewNRGBA(size)
	for i := range size.Dx() * size.Dy() {
		if chosen(i) {
			set(img, i, 255)
		} else {
			set(img, i, 0)
		}
	}
	return img
}

// least returns for each pixel the smallest value that f has in its three channels.
func least(img *image.NRGBA, f func(channel plane) plane) plane {
	out := f(channel(img, 0))
	for c := 1; c < 3; c++ {
		for i, v := range f(channel(img, c)).v {
			out.v[i] = min(out.v[i], v)
		}
	}
	return out
}

// minus returns p - q.
func (p plane) minus(q plane) plane {
	out := newPlane(p.w, p.h)
	for i := range out.v {
		out.v[i] = p.v[i] - q.v[i]
	}
	return out
}

// set makes pixel i a shade of grey.
func set(img *image.NRGBA, i int, v uint8) {
	img.Pix[4*i], img.Pix[4*i+1], img.Pix[4*i+2], img.Pix[4*i+3] = v, v, v, 255
}

// blur convolves with a Gaussian that ends at three deviations. Beyond its borders a plane has the values of its border.
func (p plane) blur(sigma float64) plane {
	radius := max(int(math.Ceil(3*sigma)), 1)
	kernel := make([]float32, 2*radius+1)
	sum := 0.0
	for i := range kernel {
		d := float64(i-radius) / sigma
		g := math.Exp(-d * d / 2)
		kernel[i] = float32(g)
		sum += g
	}
	for i := range kernel {
		kernel[i] /= float32(sum)
	}
	rows, out := newPlane(p.w, p.h), newPlane(p.w, p.h)
	padded := make([]float32, p.w+2*radius)
	for y := range p.h {
		row := p.v[y*p.w : (y+1)*p.w]
		for i := range padded {
			padded[i] = row[min(max(i-radius, 0), p.w-1)]
		}
		to := rows.v[y*p.w : (y+1)*p.w]
		for i, k := range kernel {
			from := padded[i : i+p.w]
			for x := range to {
				to[x] += k * from[x]
			}
		}
	}
	for y := range p.h {
		to := out.v[y*p.w : (y+1)*p.w]
		for i, k := range kernel {
			from := rows.v[min(max(y+i-radius, 0), p.h-1)*p.w:][:p.w]
			for x := range to {
				to[x] += k * from[x]
			}
		}
	}
	return out
}

// sobel returns the derivatives to the right and downwards, by Sobel's 3 x 3 operator; borders are as in blur.
func (p plane) sobel() (dx, dy plane) {
	dx, dy = newPlane(p.w, p.h), newPlane(p.w, p.h)
	for y := range p.h {
		up, at, down := p.v[max(y-1, 0)*p.w:][:p.w], p.v[y*p.w:][:p.w], p.v[min(y+1, p.h-1)*p.w:][:p.w]
		for x := range p.w {
			l, r := max(x-1, 0), min(x+1, p.w-1)
			dx.v[y*p.w+x] = up[r] - up[l] + 2*(at[r]-at[l]) + down[r] - down[l]
			dy.v[y*p.w+x] = down[l] - up[l] + 2*(down[x]-up[x]) + down[r] - up[r]
		}
	}
	return dx, dy
}
