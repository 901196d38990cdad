// Package checker reads colour, shape, background, place and size off pictures of the nano
// model, so that picture quality is a number and not an opinion.
//
// A nano picture shows one flat coloured shape on a flat background. The checker takes the
// background from the border, everything that differs enough from it as foreground, the largest
// connected part of that as the object, and the template that overlaps it best as its shape.
// It is deterministic, uses no model, and takes a few milliseconds a picture.
package checker

import (
	"image"
	"math"
	"slices"

	"golang.org/x/image/draw"
)

// Side is the length of the shorter side, in pixels, at which pictures are measured. Larger
// pictures are scaled down to it; all lengths in a Finding are in these pixels.
const Side = 128

// Where a word begins to hold, in pixels at Side. The training data has nothing near these limits: radii are 22 to 24 (small), 31 to 33
// and 43 to 46 (big); shapes with a position word are 19 px or more off the middle, all others at most 2.
const (
	smallRadius    = 27.0 // below: small
	bigRadius      = 38.0 // above: big
	positionOffset = 9.0  // farther off the middle than this: left, right, top or bottom
)

// MinIoU is the overlap (intersection over union) with the best template that an object needs
// to count as having that shape.
const MinIoU = 0.5

// namedColour is one entry of the palette.
type namedColour struct {
	Name string
	RGB  [3]uint8
}

// palette holds the ten colours of the nano data set, for objects and backgrounds alike.
var palette = []namedColour{
	{"red", [3]uint8{220, 30, 30}},
	{"green", [3]uint8{30, 160, 50}},
	{"blue", [3]uint8{30, 60, 210}},
	{"yellow", [3]uint8{245, 220, 30}},
	{"orange", [3]uint8{250, 130, 15}},
	{"purple", [3]uint8{130, 40, 170}},
	{"white", [3]uint8{245, 245, 245}},
	{"black", [3]uint8{20, 20, 20}},
	{"cyan", [3]uint8{40, 210, 225}},
	{"pink", [3]uint8{250, 140, 185}},
}

// Finding is what the checker sees in one picture. Colour, Shape, Position and Size are empty
// when there is no object.
type Finding struct {
	Background    string   // nearest palette name of the border's median
	BackgroundRGB [3]uint8 // that median
	Colour        string   // nearest palette name of the object's median
	ColourRGB     [3]uint8
	Shape         string  // template with the largest IoU
	IoU           float64 // of that template, 0 to 1
	RunnerUp      string  // template with the second largest IoU
	RunnerUpIoU   float64
	CenterX       float64 // middle of the fitted template, in pixels at Side
	CenterY       float64
	Radius        float64 // of the fitted template, in pixels at Side
	Extent        float64 // longer side of the object's box, in pixels at Side
	Components    int     // connected parts with more than 15 % of the largest part's area
	Position      string  // "left", "right", "top", "bottom" or "center"
	Size          string  // "small", "normal" or "big"

	// EdgeWidth is how wide the edge between object and background is, in pixels at Side: pixels that are neither the
	// object's colour nor the background's, for every pixel of the object's edge. About 1 for a drawn picture.
	EdgeWidth float64
}

// Check looks at a picture. Anything at least 16 pixels wide and high is accepted; a smaller
// picture gives the zero Finding.
func Check(img image.Image) Finding {
	p := newPixels(img)
	if p.w < 16 || p.h < 16 {
		return Finding{}
	}
	var f Finding
	bg := p.borderMedian()
	f.Background, f.BackgroundRGB = nearest(bg), bg
	object, count := largestComponent(p.foreground(bg), p.w, p.h)
	f.Components = count
	if object == nil || coversFrame(object, p.w, p.h) {
		return f
	}
	f.ColourRGB = p.median(inside(object, p.w, p.h))
	f.Colour = nearest(f.ColourRGB)
	fitShape(&f, object, p.w, p.h)
	f.EdgeWidth = p.edgeWidth(object, f.ColourRGB, bg)
	f.Position = PositionWord(f.CenterX-float64(p.w)/2, f.CenterY-float64(p.h)/2)
	switch {
	case f.Radius < smallRadius:
		f.Size = "small"
	case f.Radius > bigRadius:
		f.Size = "big"
	default:
		f.Size = "normal"
	}
	return f
}

// PositionWord names the place of a middle that is dx, dy pixels off the picture's: left, right, top, bottom or center.
func PositionWord(dx, dy float64) string {
	switch {
	case max(math.Abs(dx), math.Abs(dy)) <= positionOffset:
		return "center"
	case math.Abs(dx) >= math.Abs(dy) && dx < 0:
		return "left"
	case math.Abs(dx) >= math.Abs(dy):
		return "right"
	case dy < 0:
		return "top"
	}
	return "bottom"
}

// nearest is the palette name with the smallest Euclidean distance in RGB.
func nearest(c [3]uint8) string {
	best, name := math.Inf(1), ""
	for _, p := range palette {
		if d := distance2(c, p.RGB); d < best {
			best, name = d, p.Name
		}
	}
	return name
}

func distance2(a, b [3]uint8) float64 {
	sum := 0.0
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		sum += d * d
	}
	return sum
}

// pixels is a picture at measuring size, laid over black where it is transparent.
type pixels struct {
	w, h int
	rgb  [][3]uint8
}

func newPixels(img image.Image) pixels {
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	if short := min(w, h); short > Side {
		w, h = (w*Side+short/2)/short, (h*Side+short/2)/short
		scaled := image.NewRGBA(image.Rect(0, 0, w, h))
		draw.BiLinear.Scale(scaled, scaled.Bounds(), img, b, draw.Src, nil)
		img, b = scaled, scaled.Bounds()
	}
	p := pixels{w, h, make([][3]uint8, 0, w*h)}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, b, _ := img.At(x, y).RGBA()
			p.rgb = append(p.rgb, [3]uint8{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8)})
		}
	}
	return p
}

// median is the median of each channel over the marked pixels.
func (p pixels) median(marked []bool) [3]uint8 {
	var out [3]uint8
	var counts [3][256]int
	n := 0
	for i, m := range marked {
		if m {
			n++
			for c, v := range p.rgb[i] {
				counts[c][v]++
			}
		}
	}
	for c := range out {
		for v, seen := 0, 0; v < 256; v++ {
			if seen += counts[c][v]; 2*seen >= n {
				out[c] = uint8(v)
				break
			}
		}
	}
	return out
}

// frame is the width of the border that the background is read from. Shapes of the data set
// stay clear of it.
const frame = 5

func (p pixels) borderMedian() [3]uint8 {
	marked := make([]bool, len(p.rgb))
	for i := range marked {
		x, y := i%p.w, i/p.w
		marked[i] = x < frame || y < frame || x >= p.w-frame || y >= p.h-frame
	}
	return p.median(marked)
}

// foreground marks the pixels that differ from the background by more than 40, and by more than half as much as the object does. The
// object's difference is the 97th percentile over the picture.
func (p pixels) foreground(bg [3]uint8) []bool {
	const floor = 40
	d := make([]float64, len(p.rgb))
	for i, c := range p.rgb {
		d[i] = math.Sqrt(distance2(c, bg))
	}
	sorted := slices.Clone(d)
	slices.Sort(sorted)
	limit := max(floor, 0.5*sorted[len(sorted)*97/100])
	marked := make([]bool, len(d))
	for i, v := range d {
		marked[i] = v > limit
	}
	return marked
}
