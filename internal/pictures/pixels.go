package pictures

import (
	"image"
	"math"

	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Pixels turns a picture into the VAE encoder's input, [1, 3, height, width] in [-1, 1]. It is scaled with Lanczos.
func Pixels(img image.Image, width, height int) backend.Tensor {
	rgb := picture.Resize(picture.Opaque(img), width, height)
	t := backend.NewTensor(1, 3, height, width)
	for p := range width * height {
		for c := range 3 {
			t.Data[c*width*height+p] = 2*(float32(rgb.Pix[4*p+c])/255) - 1
		}
	}
	return t
}

// HintPixels turns a control picture into a ControlNet's input, [1, 3, height, width] in [0, 1].
func HintPixels(img image.Image) backend.Tensor {
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

// GreyPixels turns a picture into [1, 1, height, width] in [0, 1]: grey, as Pillow's mode L and ITU-R 601 say.
func GreyPixels(img image.Image) backend.Tensor {
	rgb := picture.Opaque(img)
	w, h := rgb.Rect.Dx(), rgb.Rect.Dy()
	t := backend.NewTensor(1, 1, h, w)
	for p := range t.Data {
		r, g, b := uint32(rgb.Pix[4*p]), uint32(rgb.Pix[4*p+1]), uint32(rgb.Pix[4*p+2])
		t.Data[p] = float32((19595*r+38470*g+7471*b+0x8000)>>16) / 255
	}
	return t
}

// Of turns the VAE decoder's output for one picture, [3, height, width], into 8 bits a channel:
// x/2 + 1/2, clamped, times 255, rounded half to even as NumPy does. Values that are not finite become 0.
func Of(pixels []float32, width, height int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for p := range width * height {
		for c := range 3 {
			v := pixels[c*width*height+p]
			if v != v || v-v != 0 {
				v = -1
			}
			x := min(max(float32(v/2)+0.5, 0), 1)
			img.Pix[4*p+c] = uint8(math.RoundToEven(float64(float32(x * 255))))
		}
		img.Pix[4*p+3] = 255
	}
	return img
}
