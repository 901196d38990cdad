package picture

import (
	"image"
	"image/color"
)

// The channels of a mask picture that can mark what is repainted.
const (
	maskAuto  = "auto"
	maskAlpha = "alpha"
)

// nearlyOne is the largest difference of values in a lossy file where the picture had one colour.
const nearlyOne = 8

// Mask turns a mask picture into the form in which white is repainted and black is kept. channel says what the file means. "luma": it has
// this form already. "alpha": transparent parts are repainted, as in OpenAI's API and ComfyUI. "auto" or "": if the picture has one colour
// with holes, its alpha counts, otherwise its colours. The sentence says whether alpha counts; it is "" for a picture without alpha.
func Mask(img image.Image, channel string) (mask *image.NRGBA, said string) {
	if channel == maskAlpha {
		return holes(straight(img)), ""
	}
	mask = Opaque(img)
	if channel != maskAuto && channel != "" {
		return mask, ""
	}
	switch from := straight(img); {
	case !hasHoles(from):
		return mask, ""
	case speaksInAlpha(from):
		return holes(from), `it has one colour with transparent parts, and these are repainted; mask_channel = "luma" repaints what is white`
	}
	return mask, `its white parts are repainted, and its transparency is ignored; mask_channel = "alpha" repaints transparent parts`
}

// holes turns transparent into white and opaque into black. The most opaque pixel counts as wholly opaque: in some masks the kept part has
// an alpha of 1.
func holes(img *image.NRGBA) *image.NRGBA {
	size := img.Rect.Sub(img.Rect.Min)
	out := image.NewNRGBA(size)
	_, most := alphas(img)
	for y := range size.Dy() {
		for x := range size.Dx() {
			a := int(img.NRGBAAt(img.Rect.Min.X+x, img.Rect.Min.Y+y).A)
			v := uint8(255 - a*255/max(most, 1))
			out.SetNRGBA(x, y, color.NRGBA{v, v, v, 255})
		}
	}
	return out
}

// alphas returns the smallest and the largest alpha.
func alphas(img *image.NRGBA) (least, most int) {
	least = 255
	for y := img.Rect.Min.Y; y < img.Rect.Max.Y; y++ {
		row := img.Pix[img.PixOffset(img.Rect.Min.X, y):][:4*img.Rect.Dx()]
		for i := 3; i < len(row); i += 4 {
			least, most = min(least, int(row[i])), max(most, int(row[i]))
		}
	}
	return least, most
}

// hasHoles reports whether some part of a picture is less than half as opaque as another part.
func hasHoles(img *image.NRGBA) bool {
	least, most := alphas(img)
	return 2*least < most
}

// speaksInAlpha reports whether the alpha of a picture with holes is its mask. That is so if all opaque pixels have one colour and the
// colours say nothing beside the alpha. In white strokes on a transparent black ground the colours are the mask: white is repainted.
func speaksInAlpha(img *image.NRGBA) bool {
	_, most := alphas(img)
	low, high := [3]uint8{255, 255, 255}, [3]uint8{}
	dark := false // what is transparent is black where it counts
	for y := img.Rect.Min.Y; y < img.Rect.Max.Y; y++ {
		for x := img.Rect.Min.X; x < img.Rect.Max.X; x++ {
			p := img.NRGBAAt(x, y)
			if 2*int(p.A) < most {
				dark = dark || !bright(p)
				continue
			}
			for c, v := range [3]uint8{p.R, p.G, p.B} {
				low[c], high[c] = min(low[c], v), max(high[c], v)
			}
		}
	}
	for c := range 3 {
		if high[c]-low[c] > nearlyOne {
			return false
		}
	}
	return !bright(color.NRGBA{low[0], low[1], low[2], 255}) || !dark
}

// bright reports whether a mask's colour means what is repainted.
func bright(p color.NRGBA) bool {
	p.A = 255
	return color.GrayModel.Convert(p).(color.Gray).Y >= 128
}
