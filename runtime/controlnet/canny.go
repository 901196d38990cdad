package controlnet

import (
	"image"
	"math"
)

// tan22 is tan(22.5 degrees) in OpenCV's fixed point of 15 bits. It is the border between directions along an axis and diagonal ones.
// tan(67.5 degrees) is 2 more.
const tan22 = 13573

// canny finds edges as OpenCV's Canny with aperture 3 does (J. Canny, "A computational approach to edge detection", 1986). The gradient is
// Sobel's, of the channel where it is largest. A pixel is an edge where its gradient is larger than those of the two neighbours in its
// direction (one of four) and above the high threshold, or above the low threshold and connected to such a pixel.
func canny(img *image.NRGBA, o values) *image.NRGBA {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	low, high := float32(math.Floor(o["low_threshold"])), float32(math.Floor(o["high_threshold"]))
	if o["l2_gradient"] != 0 {
		low, high = float32(o["low_threshold"]*o["low_threshold"]), float32(o["high_threshold"]*o["high_threshold"])
	}
	dx, dy, size := strongest(img, o["l2_gradient"] != 0)

	const none, weak, strong = 0, 1, 2
	kind := make([]uint8, w*h)
	var stack []int
	for y := range h {
		for x := range w {
			i := y*w + x
			if size.v[i] <= low || !size.peaks(x, y, dx.v[i], dy.v[i]) {
				continue
			}
			kind[i] = weak
			if size.v[i] > high {
				kind[i] = strong
				stack = append(stack, i)
			}
		}
	}
	for len(stack) > 0 {
		i := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		x, y := i%w, i/w
		for ny := max(y-1, 0); ny <= min(y+1, h-1); ny++ {
			for nx := max(x-1, 0); nx <= min(x+1, w-1); nx++ {
				if n := ny*w + nx; kind[n] == weak {
					kind[n] = strong
					stack = append(stack, n)
				}
			}
		}
	}
	return mask(img.Rect, func(i int) bool { return kind[i] == strong })
}

// strongest returns each pixel's derivatives in the channel where the gradient is largest, or in the first of equal ones, and the
// gradient's size: the sum of the absolute derivatives, or with squares the sum of their squares.
func strongest(img *image.NRGBA, squares bool) (dx, dy, size plane) {
	for c := range 3 {
		cx, cy := channel(img, c).sobel()
		s := newPlane(cx.w, cx.h)
		for i := range s.v {
			if squares {
				s.v[i] = cx.v[i]*cx.v[i] + cy.v[i]*cy.v[i]
			} else {
				s.v[i] = abs(cx.v[i]) + abs(cy.v[i])
			}
		}
		if c == 0 {
			dx, dy, size = cx, cy, s
			continue
		}
		for i, v := range s.v {
			if v > size.v[i] {
				dx.v[i], dy.v[i], size.v[i] = cx.v[i], cy.v[i], v
			}
		}
	}
	return dx, dy, size
}

// peaks reports whether the gradient at x, y is the largest of the three along its direction. Of two equal ones the first in reading order
// counts, and on diagonals neither. Beyond the border the gradient is 0.
func (p plane) peaks(x, y int, dx, dy float32) bool {
	at := func(x, y int) float32 {
		if x < 0 || y < 0 || x >= p.w || y >= p.h {
			return 0
		}
		return p.v[y*p.w+x]
	}
	m := p.v[y*p.w+x]
	ax, ay := int(abs(dx)), int(abs(dy))<<15
	switch {
	case ay < ax*tan22: // a vertical edge
		return m > at(x-1, y) && m >= at(x+1, y)
	case ay > ax*(tan22+2<<15): // a horizontal one
		return m > at(x, y-1) && m >= at(x, y+1)
	}
	s := 1
	if (dx < 0) != (dy < 0) {
		s = -1
	}
	return m > at(x-s, y-1) && m > at(x+s, y+1)
}

func abs(v float32) float32 {
	if v < 0 {
		return -v
	}
	return v
}
