package pictures

import (
	"image"
	"image/color"

	"github.com/daguerre-go/daguerre/internal/picture"
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

// greyOf is a picture's luma.
func greyOf(img *image.NRGBA) *image.Gray {
	out := image.NewGray(image.Rect(0, 0, img.Rect.Dx(), img.Rect.Dy()))
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			out.SetGray(x, y, color.GrayModel.Convert(img.NRGBAAt(img.Rect.Min.X+x, img.Rect.Min.Y+y)).(color.Gray))
		}
	}
	return out
}

// pictureOf is a mask as an opaque picture.
func pictureOf(mask *image.Gray) *image.NRGBA { return picture.Opaque(mask) }

// mixed is a pixel of two pictures, of which the second counts as a mask says.
func mixed(first, second, mask uint8) uint8 {
	return uint8((int(first)*(255-int(mask)) + int(second)*int(mask) + 127) / 255)
}
