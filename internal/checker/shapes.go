package checker

import (
	"math"
	"sync"
)

// shapes of the nano data set, in the order of tools/nano/data.py.
var shapes = []string{"circle", "square", "triangle", "star", "heart", "cross", "ring", "diamond"}

// templateExtent is how far a template reaches from its middle, in units of the shape's radius.
const templateExtent = 1.6

// templateGrid is the number of samples along a template's side.
const templateGrid = 241

type point struct{ x, y float64 }

// template is a shape as signed distances (negative inside) on a grid, in units of its
// radius, with the box of its inside. y points down.
type template struct {
	name                   string
	dist                   []float32 // templateGrid x templateGrid, rows first
	minX, minY, maxX, maxY float64
}

// templates are computed once, in about 50 ms.
var templates = sync.OnceValue(func() []template {
	out := make([]template, len(shapes))
	for i, name := range shapes {
		out[i] = newTemplate(name)
	}
	return out
})

func newTemplate(name string) template {
	t := template{name: name, dist: make([]float32, templateGrid*templateGrid)}
	t.minX, t.minY, t.maxX, t.maxY = math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
	f := distance(name)
	for j := range templateGrid {
		y := templateExtent * (2*float64(j)/(templateGrid-1) - 1)
		for i := range templateGrid {
			x := templateExtent * (2*float64(i)/(templateGrid-1) - 1)
			d := f(x, y)
			t.dist[j*templateGrid+i] = float32(d)
			if d < 0 {
				t.minX, t.maxX = min(t.minX, x), max(t.maxX, x)
				t.minY, t.maxY = min(t.minY, y), max(t.maxY, y)
			}
		}
	}
	return t
}

// coverage is how much of a pixel the shape covers when drawn with radius r, the pixel's middle
// being (dx, dy) off the shape's: a linear ramp one pixel wide over the outline.
func (t *template) coverage(dx, dy, r float32) float32 {
	const scale = (templateGrid - 1) / (2 * templateExtent)
	gx, gy := (dx/r+templateExtent)*scale, (dy/r+templateExtent)*scale
	if gx < 0 || gy < 0 || gx >= templateGrid-1 || gy >= templateGrid-1 {
		return 0
	}
	i, j := int(gx), int(gy)
	fx, fy := gx-float32(i), gy-float32(j)
	k := j*templateGrid + i
	row, next := t.dist[k:k+2], t.dist[k+templateGrid:k+templateGrid+2]
	top := row[0]*(1-fx) + row[1]*fx
	bottom := next[0]*(1-fx) + next[1]*fx
	return min(1, max(0, 0.5-(top*(1-fy)+bottom*fy)*r))
}

// distance is the signed distance to the shape's outline, in units of its radius.
func distance(name string) func(x, y float64) float64 {
	switch name {
	case "circle":
		return func(x, y float64) float64 { return math.Hypot(x, y) - 0.95 }
	case "ring":
		return func(x, y float64) float64 { return math.Abs(math.Hypot(x, y)-0.78) - 0.24 }
	}
	outline := polygon(name)
	return func(x, y float64) float64 { return polygonDistance(outline, x, y) }
}

func polygon(name string) []point {
	switch name {
	case "square":
		return []point{{-0.85, -0.85}, {0.85, -0.85}, {0.85, 0.85}, {-0.85, 0.85}}
	case "triangle":
		return []point{{0, -0.95}, {1, 0.8}, {-1, 0.8}}
	case "diamond":
		return []point{{0, -1.1}, {0.75, 0}, {0, 1.1}, {-0.75, 0}}
	case "cross":
		const a, b = 0.34, 1.0
		return []point{{-a, -b}, {a, -b}, {a, -a}, {b, -a}, {b, a}, {a, a}, {a, b}, {-a, b}, {-a, a}, {-b, a}, {-b, -a}, {-a, -a}}
	case "star":
		var out []point
		for i := range 10 {
			r := 1.15
			if i%2 == 1 {
				r = 0.5
			}
			sin, cos := math.Sincos(-math.Pi/2 + float64(i)*math.Pi/5)
			out = append(out, point{r * cos, r*sin + 0.05})
		}
		return out
	case "heart":
		var out []point
		for i := range 120 {
			t := 2 * math.Pi * float64(i) / 120
			x := 16 * math.Pow(math.Sin(t), 3)
			y := 13*math.Cos(t) - 5*math.Cos(2*t) - 2*math.Cos(3*t) - math.Cos(4*t)
			out = append(out, point{x / 16 * 1.02, -y/16*1.02 - 0.1})
		}
		return out
	}
	panic("checker: no outline for shape " + name)
}

// polygonDistance follows Inigo Quilez' sdPolygon.
func polygonDistance(outline []point, x, y float64) float64 {
	best, sign := math.Inf(1), 1.0
	for i, a := range outline {
		b := outline[(i+len(outline)-1)%len(outline)]
		ex, ey, wx, wy := b.x-a.x, b.y-a.y, x-a.x, y-a.y
		t := min(1, max(0, (wx*ex+wy*ey)/(ex*ex+ey*ey)))
		dx, dy := wx-ex*t, wy-ey*t
		best = min(best, dx*dx+dy*dy)
		c1, c2, c3 := y >= a.y, y < b.y, ex*wy > ey*wx
		if (c1 && c2 && c3) || (!c1 && !c2 && !c3) {
			sign = -sign
		}
	}
	return sign * math.Sqrt(best)
}
