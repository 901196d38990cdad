package pipeline

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// hole is black and opaque, and black and transparent in its right half.
func hole(w, h int) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w / 2 {
			img.SetNRGBA(x, y, color.NRGBA{A: 255})
		}
	}
	return img
}

// dot marks one pixel that no cell of the latents takes.
func dot(w, h int) image.Image {
	img := image.NewGray(image.Rect(0, 0, w, h))
	img.SetGray(3, 3, color.Gray{255})
	return img
}

// TestMasksInAlpha: a hole in a mask of one colour repaints what white would, and says so.
func TestMasksInAlpha(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	r := request.Request{Prompt: "a red circle", NumInferenceSteps: 4, Seed: 7, InitImage: request.Picture{Image: blocks(64, 48)},
		MaskImage: request.Picture{Image: rightHalf(64, 48)}}
	want := generate(t, p, r)
	assert.Empty(t, want.Warnings)
	r.MaskImage.Image = hole(64, 48)
	for channel, warnings := range map[string]int{"": 1, "auto": 1, "alpha": 0} {
		r.MaskChannel = channel
		got := generate(t, p, r)
		assert.Equal(t, want.Images[0].NRGBA, got.Images[0].NRGBA, channel)
		assert.Len(t, got.Warnings, warnings, channel)
	}
	r.MaskChannel, r.Outpaint = "", request.Outpaint{Left: 32}
	r.MaskImage.Image = rightHalf(64, 48)
	want = generate(t, p, r)
	r.MaskImage.Image = hole(64, 48)
	got := generate(t, p, r)
	assert.Equal(t, want.Images[0].NRGBA, got.Images[0].NRGBA, "also where the picture grows")
}

// TestMasksThatSelectNothing is said, and so is one that selects everything; once for all batches.
func TestMasksThatSelectNothing(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	white := image.NewGray(image.Rect(0, 0, 64, 48))
	for i := range white.Pix {
		white.Pix[i] = 255
	}
	for name, m := range map[string]struct {
		mask image.Image
		says string
	}{
		"black":     {image.NewGray(image.Rect(0, 0, 64, 48)), "mask_image marks nothing"},
		"white":     {white, "mask_image marks everything"},
		"a dot":     {dot(64, 48), "too small to be repainted"},
		"one half":  {rightHalf(64, 48), ""},
		"all clear": {image.NewNRGBA(image.Rect(0, 0, 64, 48)), "mask_image marks nothing"},
	} {
		out := generate(t, p, request.Request{Prompt: "x", NumInferenceSteps: 2, NumImages: 2, MaxBatch: 1,
			InitImage: request.Picture{Image: blocks(64, 48)}, MaskImage: request.Picture{Image: m.mask}})
		if m.says == "" {
			assert.Empty(t, out.Warnings, name)
		} else if assert.Len(t, out.Warnings, 1, name) {
			assert.Contains(t, out.Warnings[0], m.says, name)
		}
	}
}

// TestOnePixel: a picture of one pixel, by its bytes, is one to start from and to mask with; the largest seed is one.
func TestOnePixel(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	var file bytes.Buffer
	require.NoError(t, png.Encode(&file, image.NewGray(image.Rect(0, 0, 1, 1))))
	dot := request.Picture{Data: file.Bytes()}
	out := generate(t, p, request.Request{Prompt: "x", NumInferenceSteps: 4, InitImage: dot})
	assert.Equal(t, image.Pt(8, 8), out.Images[0].Rect.Size())
	out = generate(t, p, request.Request{Prompt: "x", NumInferenceSteps: 4, InitImage: dot, Width: 64, Height: 48, MaskImage: dot})
	assert.Contains(t, out.Warnings[0], "mask_image marks nothing")
	out = generate(t, p, request.Request{Prompt: "x", NumInferenceSteps: 4, Seed: math.MaxInt64})
	assert.Equal(t, int64(math.MaxInt64), out.Images[0].Seed)
}
