// Package detect finds boxes in pictures with a detector, as ultralytics' predict does with YOLOv8.
package detect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"

	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// What zero Options stand for. ultralytics has the same, but for a confidence of 0.25; ADetailer's is 0.3.
const (
	DefaultConfidence = 0.3
	DefaultIoU        = 0.7
	DefaultMost       = 300
	DefaultSize       = 640
	multiple          = 32 // of the sides of what YOLOv8 sees
)

// ErrNotFinite is matched by the error of a detector whose result has values that are NaN or infinite.
var ErrNotFinite = errors.New("the detector made values that are not finite; try another detector")

// Options say what counts as found. The zero value is a good choice.
type Options struct {
	Confidence float64 // a box has more than this
	Classes    []int   // empty: all
	IoU        float64 // of two boxes of a class that share more than this of their area, the less confident one is dropped
	Most       int     // boxes
	Size       int     // the longest side of what the network sees
}

// Box is a part of a picture, in pixels from its upper left corner.
type Box struct {
	Left, Top, Right, Bottom float64
	Confidence               float64
	Class                    int
}

func (b Box) area() float32 { return float32((b.Right - b.Left) * (b.Bottom - b.Top)) }

// Picture finds boxes in img with m, a model of kind detector. The most confident is first. Cancelling ctx stops it inside on the CPU.
func Picture(ctx context.Context, m backend.Model, img image.Image, o Options) ([]Box, error) {
	info := m.Info()
	if info.Kind != backend.KindDetector {
		return nil, fmt.Errorf("detecting: a model of kind %q is no detector", info.Kind)
	}
	o.Confidence, o.IoU = cmp.Or(o.Confidence, DefaultConfidence), cmp.Or(o.IoU, DefaultIoU)
	o.Most, o.Size = cmp.Or(o.Most, DefaultMost), cmp.Or(o.Size, DefaultSize)
	if o.Confidence <= 0 || o.Confidence > 1 || o.IoU <= 0 || o.IoU > 1 || o.Most < 1 || o.Size < info.Detector.Multiple {
		return nil, fmt.Errorf("bad options of detecting: %+v", o)
	}
	for _, c := range o.Classes {
		if c < 0 || c >= info.Detector.Classes {
			return nil, fmt.Errorf("there is no class %d; this detector has %d, from 0 on", c, info.Detector.Classes)
		}
	}
	in := picture.Opaque(img)
	if in.Rect.Empty() {
		return nil, fmt.Errorf("detecting: the picture has no pixels")
	}
	f := frameOf(in.Rect.Dx(), in.Rect.Dy(), o.Size, info.Detector.Multiple)
	raw, err := m.Detect(backend.WithWrap(ctx, 0), f.pixels(in))
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(raw.Data, func(v float32) bool { return v-v != 0 }) {
		return nil, ErrNotFinite
	}
	boxes := suppress(decode(raw, info.Detector, f, o), o)
	for i := range boxes {
		f.back(&boxes[i])
	}
	return boxes, nil
}

// Shape is the height and width of what a detector sees of a picture.
func Shape(w, h int) (height, width int) {
	f := frameOf(w, h, DefaultSize, multiple)
	return f.h, f.w
}

// decode turns what the network says of each anchor into boxes of the frame that are sure enough. The distance to a side is the mean of a
// distribution over whole cells.
func decode(raw backend.Tensor, d backend.DetectorInfo, f frame, o Options) []Box {
	anchors := raw.Shape[2]
	at := func(row, anchor int) float32 { return raw.Data[row*anchors+anchor] }
	var boxes []Box
	a := 0
	for stride := d.Multiple / 4; stride <= d.Multiple; stride *= 2 {
		for y := range f.h / stride {
			for x := range f.w / stride {
				class := 0
				for c := range d.Classes {
					if at(4*d.Bins+c, a) > at(4*d.Bins+class, a) {
						class = c
					}
				}
				confidence := float32(1 / (1 + math.Exp(-float64(at(4*d.Bins+class, a)))))
				if confidence > float32(o.Confidence) && (len(o.Classes) == 0 || slices.Contains(o.Classes, class)) {
					var far [4]float64
					for side := range far {
						far[side] = mean(d.Bins, func(i int) float32 { return at(side*d.Bins+i, a) })
					}
					s, mx, my := float64(stride), float64(x)+0.5, float64(y)+0.5
					boxes = append(boxes, Box{Left: (mx - far[0]) * s, Top: (my - far[1]) * s, Right: (mx + far[2]) * s, Bottom: (my + far[3]) * s,
						Confidence: float64(confidence), Class: class})
				}
				a++
			}
		}
	}
	return boxes
}

// mean is the mean of 0, 1, 2, ... with the probabilities of n logits.
func mean(n int, logit func(i int) float32) float64 {
	most := logit(0)
	for i := range n {
		most = max(most, logit(i))
	}
	var sum, all float64
	for i := range n {
		p := math.Exp(float64(logit(i) - most))
		sum, all = sum+p*float64(i), all+p
	}
	return sum / all
}

// suppress sorts boxes, the most confident first, and drops those of a class that lie on a more confident one. Among equals the earlier
// anchor is first.
func suppress(boxes []Box, o Options) (kept []Box) {
	slices.SortStableFunc(boxes, func(a, b Box) int { return cmp.Compare(b.Confidence, a.Confidence) })
	for _, b := range boxes {
		if len(kept) == o.Most {
			break
		}
		if !slices.ContainsFunc(kept, func(k Box) bool { return k.Class == b.Class && overlap(k, b) > float32(o.IoU) }) {
			kept = append(kept, b)
		}
	}
	return kept
}

// overlap is the common area of two boxes, of that which they cover together.
func overlap(a, b Box) float32 {
	w, h := min(a.Right, b.Right)-max(a.Left, b.Left), min(a.Bottom, b.Bottom)-max(a.Top, b.Top)
	if w <= 0 || h <= 0 {
		return 0
	}
	common := float32(w * h)
	return common / (a.area() + b.area() - common)
}
