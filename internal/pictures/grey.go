package pictures

import (
	"image"
	"image/color"

	"github.com/daguerre-go/daguerre/internal/picture"
)

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
