package pictures

import (
	"image"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// Canvas is what a request paints on where it does not paint all: a picture with a mask, or one with new borders.
type Canvas interface {
	// At lays the canvas out at a size in pixels. In the mask 255 is repainted and 0 is kept.
	At(width, height int) (img *image.NRGBA, mask *image.Gray)
	// Finish puts back what is kept over what the model made of the canvas, in a copy.
	Finish(img *image.NRGBA) *image.NRGBA
	// Control cuts a control picture, which resize brings to a size, as the canvas is cut out of init_image; nil where nothing is cut.
	Control(resize func(width, height int) (*image.NRGBA, error), width, height int) (*image.NRGBA, error)
}

// NewCanvas lays out a prepared request; nil where it paints all.
func NewCanvas(r *request.Request) Canvas {
	switch {
	case r.Outpaint.On():
		return newOutpainting(r)
	case r.MaskImage.Image != nil:
		return newInpainting(r)
	}
	return nil
}
