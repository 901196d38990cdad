package pictures

import (
	"image"
	"image/color"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/request"
)

func TestPictureOfRoundsAsNumPy(t *testing.T) {
	// 0.5/255 and 1.5/255 lie between two values: half to even gives 0 and 2.
	at := func(v float64) float32 { return float32(v/255*2 - 1) }
	img := Of([]float32{at(0.5), at(1.5), at(2.5), -9, 9, float32(math.NaN()), at(127), at(200), at(255), at(0), at(1), float32(math.Inf(1))},
		4, 1)
	var got []uint8
	for c := range 3 {
		for x := range 4 {
			got = append(got, img.Pix[4*x+c])
		}
	}
	assert.Equal(t, []uint8{0, 255, 0}, []uint8{got[3], got[4], got[5]})
	assert.Equal(t, []uint8{127, 200, 255, 0, 1, 0}, got[6:])
	assert.Contains(t, []uint8{0, 1}, got[0])
}

// TestPixelsSurvive sends every value of a channel to [-1, 1] and back.
func TestPixelsSurvive(t *testing.T) {
	img := image.NewNRGBA(image.Rect(10, 10, 266, 11))
	for x := range 256 {
		img.SetNRGBA(10+x, 10, color.NRGBA{uint8(x), uint8(255 - x), 7, uint8(x)})
	}
	pixels := Pixels(img, 256, 1)
	back := Of(pixels.Data, 256, 1)
	for x := range 256 {
		assert.Equal(t, color.NRGBA{uint8(x), uint8(255 - x), 7, 255}, back.NRGBAAt(x, 0))
	}
}

func TestResizingAndMasks(t *testing.T) {
	flat := image.NewNRGBA(image.Rect(0, 0, 37, 53))
	for i := range flat.Pix {
		flat.Pix[i] = 200
	}
	for i, v := range Pixels(flat, 64, 48).Data {
		require.InDelta(t, 200.0/255*2-1, v, 1e-6, i)
	}
	masked := newInpainting(&request.Request{InitImage: request.Picture{Image: flat}, MaskImage: request.Picture{Image: rightHalf(32, 24)}})
	_, mask := masked.At(64, 48)
	assert.Zero(t, mask.Pix[0])
	assert.Equal(t, uint8(255), mask.Pix[63])
	small := cellsOf(mask, 8, false)
	assert.Equal(t, []float32{0, 0, 0, 0, 1, 1, 1, 1}, small[:8])
	assert.Len(t, small, 48)
	grey := image.NewGray(image.Rect(0, 0, 16, 8))
	for i := range grey.Pix {
		grey.Pix[i] = uint8(127 + i/8%2)
	}
	assert.Equal(t, []float32{0, 1}, cellsOf(grey, 8, false), "cut at one half: 127 below, 128 above")
	assert.Equal(t, []float32{127. / 255, 128. / 255}, cellsOf(grey, 8, true))
}

func TestOutpaintingLaysOut(t *testing.T) {
	r := request.Request{Outpaint: request.Outpaint{Left: 32, Bottom: 16, Feather: 8}}
	r.InitImage.Image = gradient(64, 48)
	r.Width, r.Height = 96, 64
	o := newOutpainting(&r)
	src := gradient(64, 48).(*image.NRGBA)
	assert.Equal(t, src.NRGBAAt(0, 5), o.canvas.NRGBAAt(3, 5), "what is new begins as the border")
	assert.Equal(t, src.NRGBAAt(9, 47), o.canvas.NRGBAAt(41, 63))
	assert.Equal(t, []uint8{255, 255, 0, 0}, []uint8{o.mask.GrayAt(31, 0).Y, o.mask.GrayAt(39, 0).Y, o.mask.GrayAt(40, 0).Y,
		o.mask.GrayAt(95, 0).Y},
		"the side that does not grow has no feather")
	assert.Equal(t, 1.0, o.painted(31, 0))
	assert.Zero(t, o.painted(40, 0))
	last := 1.0
	for x := 32; x < 40; x++ {
		a := o.painted(x, 0)
		assert.Less(t, a, last, "the ramp falls")
		last = a
	}
	r.MaskImage.Image = rightHalf(64, 48)
	assert.Equal(t, uint8(255), newOutpainting(&r).mask.GrayAt(90, 3).Y, "a mask of the picture goes with it")
}
func gradient(w, h int) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, color.NRGBA{uint8(255 * x / w), uint8(255 * y / h), uint8(128 + 40*(x/8%2)), 255})
		}
	}
	return img
}

// rightHalf is a mask that repaints the right half.
func rightHalf(w, h int) image.Image {
	img := image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		for x := w / 2; x < w; x++ {
			img.SetGray(x, y, color.Gray{255})
		}
	}
	return img
}
