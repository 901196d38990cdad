package pipeline

import (
	"image"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// outpaintRequest enlarges a picture of 64 x 48 to the left and below.
func outpaintRequest() request.Request {
	r := request.Request{Prompt: "a red circle", NumInferenceSteps: 6, Seed: 7}
	r.InitImage.Image = gradient(64, 48)
	r.Outpaint = request.Outpaint{Left: 32, Bottom: 16, Feather: 8}
	return r
}

func TestOutpaintingKeepsThePictureAndPaintsTheRest(t *testing.T) {
	for _, channels := range []int{4, 9} {
		b := &fake.Backend{InChannels: channels}
		p := openFake(t, b)
		out := generate(t, p, outpaintRequest())
		img := out.Images[0]
		require.Equal(t, image.Rect(0, 0, 96, 64), img.Bounds())
		src := gradient(64, 48).(*image.NRGBA)
		canvas := newOutpainting(out.Request).canvas
		changed := 0
		for y := range 64 {
			for x := range 96 {
				if x >= 32+8 && y < 48-8 {
					require.Equal(t, src.NRGBAAt(x-32, y), img.NRGBAAt(x, y), "%d, %d lies within the picture", x, y)
				} else if (x < 32 || y >= 48) && canvas.NRGBAAt(x, y) != img.NRGBAAt(x, y) {
					changed++
				}
			}
		}
		assert.Greater(t, changed, (96*64-64*48)*9/10, "what is new is painted")
		assert.Equal(t, request.DefaultInpaintStrength, out.Request.Strength)
		again, err := p.Prepare(out.Request)
		require.NoError(t, err)
		assert.Equal(t, out.Request, again, "preparing again changes nothing")
		assert.Equal(t, &request.Outpaint{Left: 32, Bottom: 16, Feather: 8}, out.Manifest(img).Outpaint)
	}
}

func TestOutpaintingLaysOut(t *testing.T) {
	r := outpaintRequest()
	r.Width, r.Height = 96, 64
	o := newOutpainting(r)
	src := gradient(64, 48).(*image.NRGBA)
	assert.Equal(t, src.NRGBAAt(0, 5), o.canvas.NRGBAAt(3, 5), "what is new begins as the border")
	assert.Equal(t, src.NRGBAAt(9, 47), o.canvas.NRGBAAt(41, 63))
	assert.Equal(t, []uint8{255, 255, 0, 0}, []uint8{o.mask.GrayAt(31, 0).Y, o.mask.GrayAt(39, 0).Y, o.mask.GrayAt(40, 0).Y, o.mask.GrayAt(95, 0).Y},
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
	assert.Equal(t, uint8(255), newOutpainting(r).mask.GrayAt(90, 3).Y, "a mask of the picture goes with it")
}

func TestOutpaintingScalesThePictureToTheRest(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	r := outpaintRequest()
	r.Width, r.Height = 160, 112 // 128 x 96 for the picture
	img := generate(t, p, r).Images[0]
	src := newOutpainting(func() request.Request { q, _ := p.Prepare(r); return q }()).canvas
	assert.Equal(t, src.NRGBAAt(100, 50), img.NRGBAAt(100, 50))
}

func TestOutpaintingIsRefused(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	for says, edit := range map[string]func(*request.Request){
		"outpaint: there is no init_image":    func(r *request.Request) { r.InitImage = request.Picture{} },
		"outpaint.left: is 30":                func(r *request.Request) { r.Outpaint.Left = 30 },
		"outpaint.top: is -8":                 func(r *request.Request) { r.Outpaint.Top = -8 },
		"outpaint.feather: is 600":            func(r *request.Request) { r.Outpaint.Feather = 600 },
		"outpaint: adds no pixels":            func(r *request.Request) { r.Outpaint = request.Outpaint{Feather: 3} },
		"outpaint: leaves nothing of init_im": func(r *request.Request) { r.Width = 32 },
	} {
		r := outpaintRequest()
		edit(&r)
		_, err := p.Generate(t.Context(), r)
		require.ErrorIs(t, err, request.ErrInvalid, says)
		assert.ErrorContains(t, err, says)
	}
}
