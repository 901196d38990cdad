package pictures

import (
	"context"
	"image"
	"slices"

	"github.com/daguerre-go/daguerre/internal/prepare"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Source is a request's init_image after the VAE's encoder. It is the same for every batch.
type Source struct {
	Moments backend.Tensor // of the picture; none where nothing needs them
	Mask    []float32      // [height, width] of the latents: 1 repaint, 0 keep, between them for soft masks; nil without a mask
	Masked  backend.Tensor // moments of the picture with the repainted part greyed; 9-channel UNets only
	Second  *Source        // the same at the size of a second pass; nil without a mask
	Warning string         // about the mask; "": none
}

// Encode makes a request's Source; nil where it has no init_image. canvas is what it paints on, nil if it paints all. native9 says that the
// UNet takes the mask and the masked picture as channels of its input.
func Encode(ctx context.Context, c *Coder, p *prepare.Prepared, canvas Canvas, native9 bool) (*Source, error) {
	r := &p.Request
	if r.InitImage.Image == nil {
		return nil, nil
	}
	if canvas == nil {
		moments, err := c.Encode(ctx, Pixels(r.InitImage.Image, r.Width, r.Height), "init_image")
		return &Source{Moments: moments}, err
	}
	fromNoise := r.Strength == 1 && !p.Refines && !r.Inpaint.Soft
	s, err := encodeMasked(ctx, c, r, canvas, r.Width, r.Height, native9, !native9 || !fromNoise)
	if err != nil || !r.Hires.On() {
		return s, err
	}
	s.Second, err = encodeMasked(ctx, c, r, canvas, r.Hires.Width, r.Hires.Height, native9, true)
	return s, err
}

// encodeMasked encodes a canvas at a size. whole says that all of the picture is needed, not only what the mask leaves of it.
func encodeMasked(ctx context.Context, c *Coder, r *request.Request, canvas Canvas, width, height int, native9, whole bool) (s *Source,
	err error) {
	img, grey := canvas.At(width, height)
	s = &Source{Mask: cellsOf(grey, c.Settings.Downscale, r.Inpaint.Soft)}
	if !r.Outpaint.On() {
		s.Warning = selection(grey, s.Mask, r.Inpaint.Soft)
	}
	if fill := r.Inpaint.Fill; fill != "" && fill != request.FillOriginal {
		img = fillMasked(img, grey)
	}
	pixels := Pixels(img, width, height)
	if whole {
		if s.Moments, err = c.Encode(ctx, pixels, "init_image"); err != nil {
			return nil, err
		}
	}
	if native9 {
		s.Masked, err = c.Encode(ctx, maskedPixels(pixels, grey, leastPainted(r.Inpaint.Soft)), "init_image")
	}
	return s, err
}

// leastPainted is the value from which on a pixel of a mask counts as repainted. Of a soft mask all but black does.
func leastPainted(soft bool) uint8 {
	if soft {
		return 1
	}
	return 128
}

// selection says that a mask repaints nothing or everything; "" for other masks.
func selection(mask *image.Gray, cells []float32, soft bool) string {
	least := leastPainted(soft)
	switch {
	case !slices.ContainsFunc(mask.Pix, func(v uint8) bool { return v >= least }):
		return "mask_image marks nothing, so init_image stays as it is: white is repainted, black is kept (see mask_channel)"
	case !slices.ContainsFunc(cells, func(v float32) bool { return v > 0 }):
		return "the part that mask_image marks is too small to be repainted, so init_image stays as it is: mark a larger part"
	case !slices.ContainsFunc(cells, func(v float32) bool { return v < 1 }):
		return "mask_image marks everything, so all of init_image is repainted: white is repainted, black is kept (see mask_channel)"
	}
	return ""
}

// maskedPixels greys out what is to be repainted: 0 is the middle of [-1, 1].
func maskedPixels(pixels backend.Tensor, mask *image.Gray, least uint8) backend.Tensor {
	out := backend.Tensor{Shape: pixels.Shape, Data: make([]float32, len(pixels.Data))}
	for i, v := range pixels.Data {
		if mask.Pix[i%len(mask.Pix)] < least {
			out.Data[i] = v
		}
	}
	return out
}

// cellsOf brings a mask to the cells of the latents. A hard one is cut at one half, and of each cell the upper left pixel is taken, as
// torch's nearest interpolation does. Of a soft one it is the mean of the four pixels in the middle of the cell, as in the bilinear one.
func cellsOf(mask *image.Gray, unit int, soft bool) []float32 {
	out := make([]float32, 0, mask.Rect.Dx()/unit*(mask.Rect.Dy()/unit))
	for y := 0; y+unit <= mask.Rect.Dy(); y += unit {
		for x := 0; x+unit <= mask.Rect.Dx(); x += unit {
			switch {
			case soft:
				sum := 0
				for _, d := range [][2]int{{0, 0}, {0, 1}, {1, 0}, {1, 1}} {
					sum += int(mask.GrayAt(x+(unit-1)/2+d[0]*(1-unit%2), y+(unit-1)/2+d[1]*(1-unit%2)).Y)
				}
				out = append(out, float32(sum)/(4*255))
			case mask.GrayAt(x, y).Y >= leastPainted(false):
				out = append(out, 1)
			default:
				out = append(out, 0)
			}
		}
	}
	return out
}
