package pictures

import (
	"image"
	"image/draw"

	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// inpainting is a request's init_image, a part of which is repainted.
type inpainting struct {
	picture *image.NRGBA    // init_image
	mask    *image.Gray     // in the mask's own size, or in that of the picture where a part is cut out
	part    image.Rectangle // of picture: what is worked on
	cut     bool            // that is not all
	options request.Inpaint
}

// newInpainting lays out a prepared request with a mask. The mask is inverted and blurred first, as in A1111.
func newInpainting(r *request.Request) *inpainting {
	marked, _ := picture.Mask(r.MaskImage.Image, r.MaskChannel) // prepare has told what it says
	i := &inpainting{picture: picture.Opaque(r.InitImage.Image), mask: greyOf(marked), options: r.Inpaint.Filled()}
	i.part = i.picture.Rect
	if i.options.Invert {
		for k, v := range i.mask.Pix {
			i.mask.Pix[k] = 255 - v
		}
	}
	i.mask = picture.Blur(i.mask, i.options.Blur)
	if i.options.OnlyMasked {
		i.mask = greyOf(picture.Resize(pictureOf(i.mask), i.part.Dx(), i.part.Dy()))
		i.part = region(i.mask, r.Width, r.Height, *i.options.Padding)
		i.cut = true
	}
	return i
}

// At implements Canvas.
func (i *inpainting) At(width, height int) (*image.NRGBA, *image.Gray) {
	return i.seen(i.picture, width, height), greyOf(i.seen(pictureOf(i.mask), width, height))
}

// seen is the part of a picture that is worked on, at a size.
func (i *inpainting) seen(img *image.NRGBA, width, height int) *image.NRGBA {
	if !i.cut {
		return picture.Resize(img, width, height)
	}
	return fit(crop(img, i.part), width, height)
}

// Control implements Canvas.
func (i *inpainting) Control(resize func(width, height int) (*image.NRGBA, error), width, height int) (*image.NRGBA, error) {
	if !i.cut {
		return nil, nil
	}
	whole, err := resize(i.picture.Rect.Dx(), i.picture.Rect.Dy())
	if err != nil {
		return nil, err
	}
	return i.seen(whole, width, height), nil
}

// Finish implements Canvas. What the mask keeps has the very bytes of init_image, or of that scaled to the picture's size. Where the mask
// is grey, both are mixed. A soft mask has let the model paint there already, so the model's share rises twice as fast.
func (i *inpainting) Finish(img *image.NRGBA) *image.NRGBA {
	if !*i.options.PasteBack {
		return img
	}
	below, mask, at := i.picture, i.mask, i.part
	if i.cut {
		img = cover(img, at.Dx(), at.Dy())
	} else {
		at = img.Rect
		below, mask = picture.Resize(below, at.Dx(), at.Dy()), greyOf(picture.Resize(pictureOf(mask), at.Dx(), at.Dy()))
	}
	out := image.NewNRGBA(below.Rect)
	copy(out.Pix, below.Pix)
	for y := at.Min.Y; y < at.Max.Y; y++ {
		for x := at.Min.X; x < at.Max.X; x++ {
			m := mask.GrayAt(x, y).Y
			if i.options.Soft {
				m = uint8(min(2*int(m), 255))
			}
			from, to := img.Pix[img.PixOffset(x-at.Min.X, y-at.Min.Y):], out.Pix[out.PixOffset(x, y):]
			for c := range 3 {
				to[c] = mixed(to[c], from[c], m)
			}
		}
	}
	return out
}

// crop copies a part of a picture.
func crop(img *image.NRGBA, part image.Rectangle) *image.NRGBA {
	out := image.NewNRGBA(image.Rect(0, 0, part.Dx(), part.Dy()))
	draw.Draw(out, out.Rect, img, part.Min, draw.Src)
	return out
}
