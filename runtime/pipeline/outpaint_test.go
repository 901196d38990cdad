package pipeline

import (
	"image"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/pictures"
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
		canvas, _ := pictures.NewCanvas(&out.Request).At(96, 64)
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

func TestOutpaintingScalesThePictureToTheRest(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	r := outpaintRequest()
	r.Width, r.Height = 160, 112 // 128 x 96 for the picture
	img := generate(t, p, r).Images[0]
	src, _ := pictures.NewCanvas(func() *request.Request { q, _ := p.Prepare(r); return &q }()).At(160, 112)
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
