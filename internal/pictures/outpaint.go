package pictures

import (
	"cmp"
	"image"
	"image/color"
	"image/draw"

	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// outpainting is a request's init_image on the larger canvas that it is to fill.
type outpainting struct {
	canvas *image.NRGBA    // the picture in its place; what is new repeats its border
	mask   *image.Gray     // white where the model paints: what is new, the feather, and what mask_image says
	inner  image.Rectangle // where the picture lies
	growth request.Outpaint
	masked bool // a mask was given
}

// newOutpainting lays out a prepared request. The picture is scaled to what width and height leave of it.
func newOutpainting(r *request.Request) *outpainting {
	g := r.Outpaint
	g.Feather = cmp.Or(g.Feather, request.DefaultFeather)
	inner := image.Rect(g.Left, g.Top, r.Width-g.Right, r.Height-g.Bottom)
	o := &outpainting{canvas: image.NewNRGBA(image.Rect(0, 0, r.Width, r.Height)), mask: image.NewGray(image.Rect(0, 0, r.Width, r.Height)),
		inner: inner, growth: g, masked: r.MaskImage.Image != nil}
	src := picture.Resize(picture.Opaque(r.InitImage.Image), inner.Dx(), inner.Dy())
	var given *image.NRGBA
	if img := r.MaskImage.Image; img != nil {
		mask, _ := picture.Mask(img, r.MaskChannel) // prepare has told what it says
		given = picture.Resize(mask, inner.Dx(), inner.Dy())
	}
	for y := range r.Height {
		for x := range r.Width {
			nx, ny := min(max(x, inner.Min.X), inner.Max.X-1)-inner.Min.X, min(max(y, inner.Min.Y), inner.Max.Y-1)-inner.Min.Y
			copy(o.canvas.Pix[o.canvas.PixOffset(x, y):][:4], src.Pix[src.PixOffset(nx, ny):][:4])
			m := uint8(0)
			if given != nil && (image.Point{x, y}).In(inner) {
				m = color.GrayModel.Convert(given.NRGBAAt(nx, ny)).(color.Gray).Y
			}
			if o.painted(x, y) > 0 {
				m = 255
			}
			o.mask.Pix[o.mask.PixOffset(x, y)] = m
		}
	}
	return o
}

// painted is how much of pixel x, y is the model's: 1 where it is new, falling to 0 across the feather inside the picture.
func (o *outpainting) painted(x, y int) float64 {
	most := 0.0
	for _, side := range []struct{ grows, depth int }{
		{o.growth.Left, x - o.inner.Min.X}, {o.growth.Right, o.inner.Max.X - 1 - x},
		{o.growth.Top, y - o.inner.Min.Y}, {o.growth.Bottom, o.inner.Max.Y - 1 - y},
	} {
		if side.grows > 0 { // the other sides have no border to hide
			most = max(most, 1-(float64(side.depth)+1)/float64(o.growth.Feather+1))
		}
	}
	return min(most, 1)
}

// At implements Canvas.
func (o *outpainting) At(width, height int) (*image.NRGBA, *image.Gray) {
	return picture.Resize(o.canvas, width, height), greyOf(picture.Resize(pictureOf(o.mask), width, height))
}

// Control implements Canvas: a control picture is one of the whole canvas.
func (o *outpainting) Control(func(width, height int) (*image.NRGBA, error), int, int) (*image.NRGBA, error) {
	return nil, nil
}

// Finish implements Canvas: the picture is untouched outside the mask, and mixed in across the feather. Where a mask was given, what it
// marks stays the model's.
func (o *outpainting) Finish(img *image.NRGBA) *image.NRGBA {
	out := image.NewNRGBA(img.Rect)
	draw.Draw(out, out.Rect, img, img.Rect.Min, draw.Src)
	for y := o.inner.Min.Y; y < o.inner.Max.Y; y++ {
		for x := o.inner.Min.X; x < o.inner.Max.X; x++ {
			a := o.painted(x, y)
			if o.masked && a == 0 && o.mask.GrayAt(x, y).Y >= 128 {
				a = 1
			}
			at := out.PixOffset(x, y)
			for c := range 3 {
				v := (1-a)*float64(o.canvas.Pix[o.canvas.PixOffset(x, y)+c]) + a*float64(out.Pix[at+c])
				out.Pix[at+c] = uint8(v + 0.5)
			}
		}
	}
	return out
}
