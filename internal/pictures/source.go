package pictures

import (
	"context"
	"slices"

	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/internal/prepare"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Source is a request's init_image after the VAE's encoder. It is the same for every batch.
type Source struct {
	Moments backend.Tensor // of the picture; none where the UNet has 9 channels and strength is 1
	Mask    []float32      // [height, width] of the latents: 1 repaint, 0 keep; nil without a mask
	Masked  backend.Tensor // moments of the picture with the repainted part greyed; 9-channel UNets only
	Warning string         // about the mask; "": none
}

// Encode makes a request's Source; nil where it has no init_image. canvas is its outpainting, native9 says that the UNet takes the mask and
// the masked picture as channels of its input.
func Encode(ctx context.Context, c *Coder, p *prepare.Prepared, canvas *Outpainting, native9 bool) (*Source, error) {
	r := &p.Request
	img, marked := r.InitImage.Image, r.MaskImage.Image
	switch {
	case img == nil:
		return nil, nil
	case canvas != nil:
		img, marked = canvas.Canvas, canvas.Mask
	case marked != nil:
		marked, _ = picture.Mask(marked, r.MaskChannel) // prepare has told what it says
	}
	pixels := Pixels(img, r.Width, r.Height)
	s := &Source{}
	var err error
	if marked == nil {
		s.Moments, err = c.Encode(ctx, pixels, "init_image")
		return s, err
	}
	mask := MaskOf(marked, r.Width, r.Height)
	s.Mask = shrinkMask(mask, r.Width, r.Height, c.Settings.Downscale)
	if canvas == nil {
		s.Warning = selection(mask, s.Mask)
	}
	if !native9 || r.Strength < 1 || p.Refines {
		if s.Moments, err = c.Encode(ctx, pixels, "init_image"); err != nil {
			return nil, err
		}
	}
	if native9 {
		s.Masked, err = c.Encode(ctx, maskedPixels(pixels, mask), "init_image")
	}
	return s, err
}

// selection says that a mask repaints nothing or everything; "" for other masks.
func selection(mask, cells []float32) string {
	all := func(values []float32, wanted float32) bool {
		return !slices.ContainsFunc(values, func(v float32) bool { return v != wanted })
	}
	switch {
	case all(mask, 0):
		return "mask_image marks nothing, so init_image stays as it is: white is repainted, black is kept (see mask_channel)"
	case all(cells, 0):
		return "the part that mask_image marks is too small to be repainted, so init_image stays as it is: mark a larger part"
	case all(cells, 1):
		return "mask_image marks everything, so all of init_image is repainted: white is repainted, black is kept (see mask_channel)"
	}
	return ""
}

// maskedPixels greys out what is to be repainted: 0 is the middle of [-1, 1].
func maskedPixels(pixels backend.Tensor, mask []float32) backend.Tensor {
	out := backend.Tensor{Shape: pixels.Shape, Data: make([]float32, len(pixels.Data))}
	for i, v := range pixels.Data {
		if mask[i%len(mask)] < 0.5 {
			out.Data[i] = v
		}
	}
	return out
}

// shrinkMask takes the upper left pixel of each latent cell, as torch's nearest interpolation does.
func shrinkMask(mask []float32, width, height, unit int) []float32 {
	out := make([]float32, 0, width/unit*(height/unit))
	for y := 0; y < height; y += unit {
		for x := 0; x < width; x += unit {
			out = append(out, mask[y*width+x])
		}
	}
	return out
}
