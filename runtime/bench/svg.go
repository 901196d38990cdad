package bench

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// canvas collects the elements of an SVG drawing. Colours and fonts are classes of the page's style sheet, so that a drawing
// follows the reader's light or dark scheme.
type canvas struct {
	w, h  float64
	title string
	b     strings.Builder
}

// charWidth is about how wide a letter of a label is, in the drawing's units.
const charWidth = 6.6

func (c *canvas) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(&c.b, `<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, class, x1, y1, x2, y2)
}

// rect draws a rectangle with a tooltip.
func (c *canvas) rect(class string, x, y, w, h float64, tip string) {
	fmt.Fprintf(&c.b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2"><title>%s</title></rect>`,
		class, x, y, max(w, 0), h, html.EscapeString(tip))
}

func (c *canvas) circle(class string, x, y, r float64, tip string) {
	fmt.Fprintf(&c.b, `<circle class="%s" cx="%.1f" cy="%.1f" r="%.1f"><title>%s</title></circle>`, class, x, y, r, html.EscapeString(tip))
}

// text draws a label; anchor is start, middle or end.
func (c *canvas) text(class, anchor string, x, y float64, s string) {
	fmt.Fprintf(&c.b, `<text class="%s" text-anchor="%s" x="%.1f" y="%.1f">%s</text>`, class, anchor, x, y, html.EscapeString(s))
}

// String is the whole drawing, with its title for those who cannot see it.
func (c *canvas) String() string {
	return fmt.Sprintf(`<svg viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">%s</svg>`,
		c.w, c.h, html.EscapeString(c.title), c.b.String())
}

// axis maps values to a stretch of the drawing and has round ticks.
type axis struct {
	from, to float64 // values
	a, b     float64 // where they lie
	step     float64
}

// newAxis covers the values from low to high with about n ticks.
func newAxis(low, high float64, n int, a, b float64) axis {
	if high <= low {
		high = low + max(math.Abs(low)*0.1, 1e-9)
	}
	raw := (high - low) / float64(n)
	mag := math.Pow(10, math.Floor(math.Log10(raw)))
	step := mag * 10
	for _, m := range []float64{1, 2, 5} {
		if raw <= m*mag {
			step = m * mag
			break
		}
	}
	return axis{from: math.Floor(low/step+1e-9) * step, to: math.Ceil(high/step-1e-9) * step, a: a, b: b, step: step}
}

func (x axis) at(v float64) float64 { return x.a + (v-x.from)/(x.to-x.from)*(x.b-x.a) }

func (x axis) ticks() []float64 {
	var out []float64
	for i := 0; x.from+float64(i)*x.step <= x.to+x.step/2; i++ {
		out = append(out, x.from+float64(i)*x.step)
	}
	return out
}

// tick writes a tick's value with the digits that the step needs.
func (x axis) tick(v float64) string {
	digits := max(0, int(math.Ceil(-math.Log10(x.step)-1e-9)))
	return fmt.Sprintf("%.*f", digits, v)
}

// bar is a row of a bar chart.
type bar struct {
	label  string
	parts  []barPart
	lo, hi float64 // whisker, where hi > 0
	value  string
	empty  bool // draw the value alone
}

// barPart is a piece of a bar; class is its colour.
type barPart struct {
	class string
	value float64
	tip   string
}

func (b bar) sum() (s float64) {
	for _, p := range b.parts {
		s += p.value
	}
	return max(s, b.hi)
}

// barChart draws horizontal bars from zero.
func barChart(title string, bars []bar) string {
	const rowHeight, thick, top, width = 26.0, 15.0, 6.0, 460.0
	left, right, most := 0.0, 0.0, 0.0
	for _, b := range bars {
		left, right = max(left, float64(len(b.label))*charWidth+10), max(right, float64(len([]rune(b.value)))*charWidth+10)
		most = max(most, b.sum())
	}
	c := &canvas{w: width, h: top + rowHeight*float64(len(bars)) + 22, title: title}
	x := newAxis(0, most, 4, left, width-right)
	x.to = max(most, 1e-12) // the bars fill the chart; ticks stop before its end
	bottom := c.h - 18
	for _, v := range x.ticks() {
		if v > x.to*1.0001 {
			break
		}
		c.line("grid", x.at(v), top-2, x.at(v), bottom)
		c.text("tick", "middle", x.at(v), bottom+13, x.tick(v))
	}
	for i, b := range bars {
		y := top + rowHeight*float64(i) + (rowHeight-thick)/2
		c.text("label", "end", left-8, y+thick-3.5, b.label)
		at := 0.0
		for _, p := range b.parts {
			if !b.empty {
				c.rect(p.class, x.at(at), y, x.at(at+p.value)-x.at(at), thick, b.label+": "+p.tip)
			}
			at += p.value
		}
		end := x.at(max(at, b.hi))
		if b.hi > 0 {
			mid := y + thick/2
			c.line("whisker", x.at(b.lo), mid, x.at(b.hi), mid)
			c.line("whisker", x.at(b.lo), mid-4, x.at(b.lo), mid+4)
			c.line("whisker", x.at(b.hi), mid-4, x.at(b.hi), mid+4)
		}
		if b.empty {
			end = x.at(0)
		}
		c.text("value", "start", end+6, y+thick-3.5, b.value)
	}
	return c.String()
}

// point is a bubble of a scatter chart.
type point struct {
	x, y, size float64 // size is drawn as area
	label, tip string
	class      string
}

// scatterChart draws points with labels beside them; atTop are drawn on a line of their own above the scale.
func scatterChart(title, xName, yName string, points, atTop []point) string {
	const width, height, left, right, bottom = 1040.0, 400.0, 52.0, 24.0, 44.0
	c := &canvas{w: width, h: height, title: title}
	top := 24.0
	all := append(append([]point{}, points...), atTop...)
	var xs, ys []float64
	sizes := 0.0
	for _, p := range all {
		xs, sizes = append(xs, p.x), max(sizes, p.size)
	}
	for _, p := range points {
		ys = append(ys, p.y)
	}
	xr, yr := summarize(xs), summarize(ys)
	pad := max((xr.Max-xr.Min)*0.12, xr.Max*0.02)
	x := newAxis(max(0, xr.Min-pad), xr.Max+pad, 7, left, width-right)
	topLine := top + 14
	if len(atTop) > 0 {
		top += 44
	}
	pad = max((yr.Max-yr.Min)*0.12, 1)
	y := newAxis(yr.Min-pad, yr.Max+pad, 6, height-bottom, top)
	for _, v := range x.ticks() {
		c.line("grid", x.at(v), 24, x.at(v), height-bottom)
		c.text("tick", "middle", x.at(v), height-bottom+15, x.tick(v))
	}
	if len(points) > 0 {
		for _, v := range y.ticks() {
			c.line("grid", left, y.at(v), width-right, y.at(v))
			c.text("tick", "end", left-7, y.at(v)+4, y.tick(v))
		}
	}
	c.text("axis", "end", width-right, height-8, xName)
	c.text("axis", "start", 4, 14, yName)
	if len(atTop) > 0 {
		c.line("top", left, topLine, width-right, topLine)
		c.text("tick", "end", left-7, topLine+4, "equal")
	}
	l := &labels{c: c, width: width}
	for _, p := range points {
		l.add(x.at(p.x), y.at(p.y), p, sizes)
	}
	for _, p := range atTop {
		l.add(x.at(p.x), topLine, p, sizes)
	}
	l.draw()
	return c.String()
}

// labels draws points, and their labels where no other one is.
type labels struct {
	c     *canvas
	width float64
	marks []mark
	taken [][4]float64
}

type mark struct {
	x, y, r float64
	p       point
}

func (l *labels) add(x, y float64, p point, largest float64) {
	r := 5 + 17*math.Sqrt(p.size/max(largest, 1e-12))
	l.marks = append(l.marks, mark{x, y, r, p})
	l.taken = append(l.taken, [4]float64{x - r/2, y - r/2, x + r/2, y + r/2})
}

func (l *labels) draw() {
	for _, m := range l.marks {
		l.c.circle(m.p.class, m.x, m.y, m.r, m.p.tip)
	}
	for _, m := range l.marks {
		w := float64(len(m.p.label)) * charWidth
		type place struct{ x, y float64 }
		var best place
		found := false
		for _, p := range []place{{m.x + m.r + 5, m.y - 7}, {m.x - m.r - 5 - w, m.y - 7},
			{m.x - w/2, m.y - m.r - 18}, {m.x - w/2, m.y + m.r + 4},
			{m.x + m.r + 2, m.y - 24}, {m.x + m.r + 2, m.y + 10}, {m.x - m.r - 2 - w, m.y - 24}, {m.x - m.r - 2 - w, m.y + 10}} {
			if p.x < 0 || p.x+w > l.width || p.y < 0 || p.y+14 > l.c.h {
				continue
			}
			if !found {
				best, found = p, true
			}
			if l.free(p.x, p.y, w) {
				best = p
				break
			}
		}
		l.taken = append(l.taken, [4]float64{best.x, best.y, best.x + w, best.y + 14})
		l.c.text("label strong", "start", best.x, best.y+11, m.p.label)
	}
}

func (l *labels) free(x, y, w float64) bool {
	for _, t := range l.taken {
		if x < t[2] && t[0] < x+w && y < t[3] && t[1] < y+14 {
			return false
		}
	}
	return true
}
