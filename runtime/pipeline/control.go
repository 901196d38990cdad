package pipeline

import (
	"image"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/picture"
)

// hintPixels turns a control picture into a ControlNet's input, [1, 3, height, width] in [0, 1].
func hintPixels(img image.Image) backend.Tensor {
	rgb := picture.Opaque(img)
	w, h := rgb.Rect.Dx(), rgb.Rect.Dy()
	t := backend.NewTensor(1, 3, h, w)
	for p := range w * h {
		for c := range 3 {
			t.Data[c*w*h+p] = float32(rgb.Pix[4*p+c]) / 255
		}
	}
	return t
}
