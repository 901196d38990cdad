package checker

import "math"

// minArea is the smallest object, in pixels at Side.
const minArea = 60

// largestComponent returns the largest 8-connected part of the marked pixels and the number of
// parts that have more than 15 % of its area; nil if there is none of minArea.
func largestComponent(marked []bool, w, h int) (object []bool, count int) {
	label := make([]int, len(marked))
	var areas []int
	var stack []int
	for start, m := range marked {
		if !m || label[start] != 0 {
			continue
		}
		id, area := len(areas)+1, 0
		label[start] = id
		stack = append(stack[:0], start)
		for len(stack) > 0 {
			i := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			area++
			x, y := i%w, i/w
			for ny := max(0, y-1); ny <= min(h-1, y+1); ny++ {
				for nx := max(0, x-1); nx <= min(w-1, x+1); nx++ {
					if k := ny*w + nx; marked[k] && label[k] == 0 {
						label[k] = id
						stack = append(stack, k)
					}
				}
			}
		}
		areas = append(areas, area)
	}
	best := 0
	for id, a := range areas {
		if a > areas[best] {
			best = id
		}
	}
	if len(areas) == 0 || areas[best] < minArea {
		return nil, 0
	}
	for _, a := range areas {
		if a*100 > areas[best]*15 {
			count++
		}
	}
	object = make([]bool, len(marked))
	for i, l := range label {
		object[i] = l == best+1
	}
	return object, count
}

// inside removes a rim of two pixels, where colours are mixed, unless too little would be left.
func inside(object []bool, w, h int) []bool {
	eroded := erode(erode(object, w, h, false), w, h, false)
	n := 0
	for _, m := range eroded {
		if m {
			n++
		}
	}
	if n <= 20 {
		return object
	}
	return eroded
}

// erode keeps the pixels whose four neighbours are marked too, with corners all eight.
func erode(marked []bool, w, h int, corners bool) []bool {
	out := make([]bool, len(marked))
	for i, m := range marked {
		x, y := i%w, i/w
		out[i] = m && x > 0 && y > 0 && x < w-1 && y < h-1 && marked[i-1] && marked[i+1] && marked[i-w] && marked[i+w] &&
			(!corners || marked[i-w-1] && marked[i-w+1] && marked[i+w-1] && marked[i+w+1])
	}
	return out
}

// coversFrame reports whether the object holds more than half of the border. Then the border's
// median is not a background, and there is no object to speak of.
func coversFrame(object []bool, w, h int) bool {
	n, covered := 0, 0
	for i, m := range object {
		if x, y := i%w, i/w; x < frame || y < frame || x >= w-frame || y >= h-frame {
			n++
			if m {
				covered++
			}
		}
	}
	return 2*covered > n
}

// box is a half-open rectangle of pixels.
type box struct{ x0, y0, x1, y1 int }

func bounds(object []bool, w int) (b box, area int) {
	b = box{1 << 30, 1 << 30, 0, 0}
	for i, m := range object {
		if m {
			x, y := i%w, i/w
			b = box{min(b.x0, x), min(b.y0, y), max(b.x1, x+1), max(b.y1, y+1)}
			area++
		}
	}
	return b, area
}

// fitShape fills in the best template, its overlap and its place. Every template is laid over
// the object's box; the ones that come near the best overlap are then fitted.
func fitShape(f *Finding, object []bool, w, h int) {
	const near = 0.2
	b, area := bounds(object, w)
	f.Extent = float64(max(b.x1-b.x0, b.y1-b.y0))
	all := templates()
	fits := make([]fit, len(all))
	best := 0.0
	for i := range all {
		fits[i] = all[i].lay(object, w, h, b, area)
		best = max(best, fits[i].iou)
	}
	for i := range all {
		t := &all[i]
		if fits[i].iou >= best-near {
			fits[i] = t.climb(fits[i], object, w, h, area)
		}
		switch g := fits[i]; {
		case g.iou > f.IoU:
			f.RunnerUp, f.RunnerUpIoU = f.Shape, f.IoU
			f.Shape, f.IoU, f.CenterX, f.CenterY, f.Radius = t.name, g.iou, g.cx, g.cy, g.r
		case g.iou > f.RunnerUpIoU:
			f.RunnerUp, f.RunnerUpIoU = t.name, g.iou
		}
	}
}

// fit is a template's place and its overlap with the object there.
type fit struct{ iou, cx, cy, r float64 }

// lay puts the template over the object's box.
func (t *template) lay(object []bool, w, h int, b box, area int) fit {
	r := (float64(b.x1-b.x0)/(t.maxX-t.minX) + float64(b.y1-b.y0)/(t.maxY-t.minY)) / 2
	g := fit{cx: float64(b.x0+b.x1)/2 - r*(t.minX+t.maxX)/2, cy: float64(b.y0+b.y1)/2 - r*(t.minY+t.maxY)/2, r: r}
	g.iou = t.overlap(object, w, h, area, g.cx, g.cy, g.r)
	return g
}

// climb moves centre and radius in steps of 2 pixels and 6 %, then of 1 pixel and 3 %, as long
// as the overlap grows.
func (t *template) climb(g fit, object []bool, w, h, area int) fit {
	for _, step := range []struct{ shift, scale float64 }{{2, 1.06}, {1, 1.03}} {
		moves := [][3]float64{{step.shift, 0, 1}, {-step.shift, 0, 1}, {0, step.shift, 1}, {0, -step.shift, 1}, {0, 0, step.scale},
			{0, 0, 1 / step.scale}}
		for range 6 {
			better := false
			for _, m := range moves {
				x, y, r := g.cx+m[0], g.cy+m[1], g.r*m[2]
				if v := t.overlap(object, w, h, area, x, y, r); v > g.iou {
					g, better = fit{v, x, y, r}, true
				}
			}
			if !better {
				break
			}
		}
	}
	return g
}

// overlap is intersection over union of the object and the template drawn at the given place.
// What the template covers outside the picture counts as drawn and not met.
func (t *template) overlap(object []bool, w, h, area int, cx, cy, r float64) float64 {
	x0, x1 := int(math.Floor(cx+r*t.minX))-1, int(cx+r*t.maxX)+3
	y0, y1 := int(math.Floor(cy+r*t.minY))-1, int(cy+r*t.maxY)+3
	both, drawn := 0.0, 0.0
	for y := y0; y < y1; y++ {
		for x := x0; x < x1; x++ {
			c := t.coverage(float32(float64(x)+0.5-cx), float32(float64(y)+0.5-cy), float32(r))
			if c == 0 {
				continue
			}
			drawn += float64(c)
			if x >= 0 && y >= 0 && x < w && y < h && object[y*w+x] {
				both += float64(c)
			}
		}
	}
	return both / (drawn + float64(area) - both)
}
