package controlnet

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"slices"
	"strings"

	xdraw "golang.org/x/image/draw"

	"github.com/daguerre-go/daguerre/internal/picture"
)

// ResizeMode says how a control picture of another shape is brought to the size of the picture to be made.
type ResizeMode string

// The resize modes; "" is Stretch.
const (
	Stretch ResizeMode = "stretch" // to the size; the proportions change
	Crop    ResizeMode = "crop"    // to cover the size; what is too much is cut off evenly
	Pad     ResizeMode = "pad"     // to fit into the size; the rest is black, which means nothing in a map
)

// ResizeModes lists every ResizeMode.
var ResizeModes = []string{string(Stretch), string(Crop), string(Pad)}

func (m ResizeMode) validate() error {
	if m == "" || slices.Contains(ResizeModes, string(m)) {
		return nil
	}
	return fmt.Errorf("resize_mode: %q is none of %s", m, strings.Join(ResizeModes, ", "))
}

// scale returns the picture scaled, and where in width x height it belongs.
func (m ResizeMode) scale(img image.Image, width, height int) (*image.NRGBA, image.Point, error) {
	if err := m.validate(); err != nil {
		return nil, image.Point{}, err
	}
	if img == nil || img.Bounds().Empty() || width < 1 || height < 1 {
		return nil, image.Point{}, fmt.Errorf("a control picture without pixels, or %d x %d wanted", width, height)
	}
	from := picture.Opaque(img)
	w, h := from.Rect.Dx(), from.Rect.Dy()
	sx, sy := float64(width)/float64(w), float64(height)/float64(h)
	switch m {
	case Crop:
		s := max(sx, sy)
		cw, ch := float64(width)/s, float64(height)/s // the part that is seen
		x, y := int(math.Round((float64(w)-cw)/2)), int(math.Round((float64(h)-ch)/2))
		seen := image.Rect(x, y, x+max(int(math.Round(cw)), 1), y+max(int(math.Round(ch)), 1)).Intersect(from.Rect)
		out := image.NewNRGBA(image.Rect(0, 0, width, height))
		picture.Lanczos.Scale(out, out.Rect, from, seen, xdraw.Src, nil)
		return out, image.Point{}, nil
	case Pad:
		s := min(sx, sy)
		fw, fh := min(max(int(math.Round(float64(w)*s)), 1), width), min(max(int(math.Round(float64(h)*s)), 1), height)
		return picture.Resize(from, fw, fh), image.Pt((width-fw)/2, (height-fh)/2), nil
	}
	return picture.Resize(from, width, height), image.Point{}, nil
}

// place puts a picture on a black one of width x height.
func place(img *image.NRGBA, at image.Point, width, height int) *image.NRGBA {
	if img.Rect.Dx() == width && img.Rect.Dy() == height {
		return img
	}
	out := image.NewNRGBA(image.Rect(0, 0, width, height))
	draw.Draw(out, out.Rect, image.NewUniform(color.Black), image.Point{}, draw.Src)
	draw.Draw(out, img.Rect.Add(at), img, image.Point{}, draw.Src)
	return out
}
