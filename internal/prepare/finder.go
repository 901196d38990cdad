package prepare

import (
	"cmp"
	"math"
	"slices"

	"github.com/daguerre-go/daguerre/internal/detect"
	"github.com/daguerre-go/daguerre/internal/identity"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Finder is a detector and what of its boxes counts.
type Finder struct {
	Path    string      // of its weights
	ID      identity.ID // of that file, when it was found; zero: the backend has no files
	Options detect.Options

	largest, dilation int
}

// finder resolves the detector of a part; nil after a mistake. Defaults are filled in here.
func (t *Target) finder(d request.Detail, key string, errs *request.Errors) *Finder {
	d = d.Filled(&request.Request{})
	f := &Finder{Path: d.Detector, Options: detect.Options{Confidence: d.Confidence, Classes: d.Classes},
		largest: d.Largest, dilation: *d.Dilation}
	if t.Fileless {
		return f
	}
	var err error
	if f.Path, err = models.FindNet("detector", d.Detector, t.Detectors); err == nil {
		f.ID, err = identity.Of(f.Path)
	}
	if err != nil {
		errs.AddFile(key+"detector", "%v", err)
		return nil
	}
	r, err := modelfile.Inspect(f.Path)
	if err != nil {
		errs.AddFile(key+"detector", "%v", err)
		return nil
	}
	for _, c := range d.Classes {
		if y := r.Dims.Detector; y != nil && c >= y.Classes {
			errs.Add(key+"classes", "names the class %d; this detector has %d, from 0 on", c, y.Classes)
			return nil
		}
	}
	return f
}

// Found is a part that a detector has found.
type Found struct {
	Detail     int        `json:"detail"` // the number of its table
	Box        [4]float64 `json:"box"`    // left, top, right and bottom in pixels, as it is painted again
	Confidence float64    `json:"confidence"`
	Class      int        `json:"class"`
}

// Parts makes parts of w x h pixels of what a detector has found: the largest, if only some are asked for, and in whole pixels. They grow
// as by OpenCV's dilation with a square of so many pixels, as ADetailer's do.
func (f *Finder) Parts(detail int, boxes []detect.Box, w, h int) (out []Found) {
	if f.largest > 0 {
		area := func(b detect.Box) float64 { return (b.Right - b.Left) * (b.Bottom - b.Top) }
		boxes = slices.Clone(boxes)
		slices.SortStableFunc(boxes, func(a, b detect.Box) int { return cmp.Compare(area(b), area(a)) })
		boxes = boxes[:min(f.largest, len(boxes))]
	}
	for _, b := range boxes {
		left, right := f.grown(b.Left, b.Right, w)
		top, bottom := f.grown(b.Top, b.Bottom, h)
		if left < right && top < bottom {
			out = append(out, Found{detail, [4]float64{float64(left), float64(top), float64(right), float64(bottom)}, b.Confidence, b.Class})
		}
	}
	return out
}

// grown is a side of a box in whole pixels: those from the first to the one that its end lies in.
func (f *Finder) grown(from, to float64, most int) (int, int) {
	first, last := int(math.Floor(from)), int(math.Floor(to))+1
	n := f.dilation
	if n < 0 {
		n = -n
	}
	before, behind := max(n-1-n/2, 0), n/2
	if f.dilation < 0 {
		first, last = first+behind, last-before
	} else {
		first, last = first-before, last+behind
	}
	return max(first, 0), max(min(last, most), 2) // a box that ends at 1 would mean all of the picture
}
