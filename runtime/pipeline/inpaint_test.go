package pipeline

import (
	"image"
	"image/color"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// disc is a mask with a white disc.
func disc(w, h, cx, cy, radius int) *image.Gray {
	img := image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			if (x-cx)*(x-cx)+(y-cy)*(y-cy) < radius*radius {
				img.SetGray(x, y, color.Gray{255})
			}
		}
	}
	return img
}

// repaint is a request that repaints a disc of a picture.
func repaint(how request.Inpaint) request.Request {
	r := request.Request{Prompt: "a red circle", NumInferenceSteps: 4, Seed: 7, Width: 64, Height: 48, Inpaint: how}
	r.InitImage.Image, r.MaskImage.Image = gradient(100, 90), disc(100, 90, 60, 40, 14)
	return r
}

// TestOutsideOfMasksIsTheSource: whatever is painted, where the mask keeps the picture it has the very bytes of it; with one or all of a
// mask's options, a second pass, an inpainting checkpoint, and pictures in a batch, which are the same alone.
func TestOutsideOfMasksIsTheSource(t *testing.T) {
	for name, how := range map[string]request.Inpaint{
		"plain": {}, "blur": {Blur: 3}, "invert": {Invert: true}, "soft": {Soft: true, Blur: 5}, "fill": {Fill: request.FillBlurred},
		"noise": {Fill: request.FillLatentNoise}, "nothing": {Fill: request.FillLatentNothing, Soft: true},
		"only masked": {OnlyMasked: true}, "no padding": {OnlyMasked: true, Padding: new(0)},
		"all": {OnlyMasked: true, Padding: new(9), Blur: 1, Invert: true, Soft: true, Fill: request.FillBlurred},
	} {
		for _, hires := range []request.Hires{{}, {Scale: 2}} {
			for _, channels := range []int{4, 9} {
				if hires.On() && (!how.OnlyMasked || channels == 9 && !how.Soft) || channels == 9 && how.Blur == 0 {
					continue // the second pass scales the picture; and some of the others are enough
				}
				p := openFake(t, &fake.Backend{InChannels: channels})
				r := repaint(how)
				r.Hires, r.NumImages, r.MaxBatch = hires, 3, 2
				if !how.OnlyMasked { // the picture is not scaled
					r.InitImage.Image, r.MaskImage.Image = gradient(64, 48), disc(64, 48, 30, 20, 10)
				}
				out := generate(t, p, r)
				src := r.InitImage.Image.(*image.NRGBA)
				kept := keptBy(r.MaskImage.Image.(*image.Gray), how)
				assert.Greater(t, len(kept), 100, name)
				for _, img := range out.Images {
					require.Equal(t, src.Rect, img.Rect, name)
					for _, p := range kept {
						require.Equal(t, src.NRGBAAt(p.X, p.Y), img.NRGBAAt(p.X, p.Y), "%s at %v", name, p)
					}
				}
				assert.NotEqual(t, src.Pix, out.Images[0].Pix, name)
				r.Seed, r.NumImages = 8, 1
				assert.Equal(t, out.Images[1].NRGBA, generate(t, p, r).Images[0].NRGBA, name)
				require.NoError(t, p.Close())
			}
		}
	}
}

// keptBy lists the pixels that a mask keeps wholly.
func keptBy(mask *image.Gray, how request.Inpaint) (kept []image.Point) {
	black := uint8(0)
	if how.Invert {
		black = 255
	}
	mask = picture.Blur(mask, how.Blur)
	for y := range mask.Rect.Dy() {
		for x := range mask.Rect.Dx() {
			if mask.GrayAt(x, y).Y == black {
				kept = append(kept, image.Pt(x, y))
			}
		}
	}
	return kept
}

// TestOnlyMaskedWorksAtFullSize: the UNet sees the request's size, the model's own by default, and the picture keeps its own.
func TestOnlyMaskedWorksAtFullSize(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	r := repaint(request.Inpaint{OnlyMasked: true, Padding: new(4)})
	out := generate(t, p, r)
	assert.Equal(t, []int{1, 4, 6, 8}, out.Images[0].Latents.Shape)
	assert.Equal(t, image.Rect(0, 0, 100, 90), out.Images[0].Rect)
	m := out.Manifest(out.Images[0])
	assert.Equal(t, &request.Inpaint{OnlyMasked: true, Padding: new(4), Fill: request.FillOriginal, PasteBack: new(true)}, m.Inpaint)
	r.Width, r.Height = 0, 0
	plain, err := p.Prepare(request.Request{Prompt: "x"})
	require.NoError(t, err)
	prepared, err := p.Prepare(r)
	require.NoError(t, err)
	assert.Equal(t, [2]int{plain.Width, plain.Height}, [2]int{prepared.Width, prepared.Height})
	again, err := p.Prepare(prepared)
	require.NoError(t, err)
	assert.Equal(t, prepared, again, "preparing again changes nothing")
	r.MaskImage.Image = image.NewGray(image.Rect(0, 0, 100, 90))
	out = generate(t, p, r)
	assert.Contains(t, out.Warnings[0], "mask_image marks nothing")
	assert.Equal(t, r.InitImage.Image.(*image.NRGBA).Pix, out.Images[0].Pix)
}

// TestMaskOptionsAreRefused before anything is computed, where there is nothing for them or they exclude each other.
func TestMaskOptionsAreRefused(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	for says, edit := range map[string]func(*request.Request){
		"inpaint: there is no mask_image":       func(r *request.Request) { r.MaskImage = request.Picture{} },
		"inpaint: cannot be used with outpaint": func(r *request.Request) { r.Outpaint.Left = 8 },
		"inpaint.padding: there is nothing":     func(r *request.Request) { r.Inpaint = request.Inpaint{Padding: new(8)} },
		"inpaint.padding: is -1":                func(r *request.Request) { r.Inpaint.Padding = new(-1) },
		"inpaint.blur: is -1":                   func(r *request.Request) { r.Inpaint.Blur = -1 },
		"inpaint.blur: is 513":                  func(r *request.Request) { r.Inpaint.Blur = 513 },
		"inpaint.fill: \"latent_noises\" is unknown; did you mean \"latent_noise\"?": func(r *request.Request) {
			r.Inpaint.Fill = "latent_noises"
		},
		"inpaint.paste_back: is false, and only_masked": func(r *request.Request) { r.Inpaint.PasteBack = new(false) },
		"mask_image: there is no init_image":            func(r *request.Request) { r.InitImage = request.Picture{} },
	} {
		r := repaint(request.Inpaint{OnlyMasked: true})
		edit(&r)
		_, err := p.Generate(t.Context(), r)
		require.ErrorIs(t, err, request.ErrInvalid, says)
		assert.ErrorContains(t, err, says)
	}
	r := repaint(request.Inpaint{Fill: request.FillLatentNoise})
	r.Strength = 1
	assert.Contains(t, generate(t, p, r).Warnings, "inpaint.fill does nothing at strength 1, where painting begins with noise alone; "+
		"lower strength, such as 0.95")
}
