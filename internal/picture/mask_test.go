package picture

import (
	"image"
	"image/color"
	"testing"

	"github.com/stretchr/testify/assert"
)

// halves is a picture of two colours, left and right.
func halves(left, right color.NRGBA) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(3, 3, 11, 11))
	for y := 3; y < 11; y++ {
		for x := 3; x < 11; x++ {
			c := left
			if x >= 7 {
				c = right
			}
			img.SetNRGBA(x, y, c)
		}
	}
	return img
}

// TestMasks: what each kind of mask repaints of its two halves, the left and the right.
func TestMasks(t *testing.T) {
	const none, left, right, both = "", "left", "right", "left right"
	black, white, grey := color.NRGBA{0, 0, 0, 255}, color.NRGBA{255, 255, 255, 255}, color.NRGBA{90, 90, 90, 255}
	hole := func(c color.NRGBA) color.NRGBA { c.A = 0; return c }
	for name, m := range map[string]struct {
		mask    image.Image
		channel string
		paints  string
		said    string
	}{
		"black and white":                   {halves(black, white), "", right, ""},
		"half transparent everywhere":       {halves(color.NRGBA{0, 0, 0, 128}, color.NRGBA{255, 255, 255, 128}), "", right, ""},
		"edges that are a little clear":     {halves(black, color.NRGBA{255, 255, 255, 200}), "", right, ""},
		"black with a hole":                 {halves(black, hole(black)), "", right, "these are repainted"},
		"white with a hole":                 {halves(white, hole(white)), "", right, "these are repainted"},
		"grey with a hole":                  {halves(hole(grey), grey), "", left, "these are repainted"},
		"black with a white hole":           {halves(black, hole(white)), "", right, "these are repainted"},
		"nearly one colour":                 {halves(hole(grey), color.NRGBA{93, 88, 91, 255}), "", left, "these are repainted"},
		"kept with an alpha of 1":           {halves(color.NRGBA{0, 0, 0, 1}, hole(black)), "", right, "these are repainted"},
		"white strokes on a clear ground":   {halves(hole(black), white), "", right, "its transparency is ignored"},
		"a photograph with a hole":          {photo(), "", right, "its transparency is ignored"},
		"a photograph with a hole, by word": {photo(), "alpha", left, ""},
		"white strokes, by word":            {halves(hole(black), white), "alpha", left, ""},
		"black with a hole, by word":        {halves(black, hole(black)), "luma", none, ""},
		"opaque, by word":                   {halves(black, white), "alpha", none, ""},
		"all clear, by word":                {halves(hole(black), hole(white)), "alpha", both, ""},
		"grey levels":                       {grey4(), "auto", right, ""},
	} {
		got, said := Mask(m.mask, m.channel)
		assert.Equal(t, m.mask.Bounds().Size(), got.Rect.Size(), name)
		paints := ""
		if got.NRGBAAt(0, 0).R >= 128 {
			paints = "left"
		}
		if got.NRGBAAt(got.Rect.Max.X-1, 0).R >= 128 {
			if paints != "" {
				paints += " "
			}
			paints += "right"
		}
		assert.Equal(t, m.paints, paints, name)
		assert.Equal(t, color.NRGBA{got.Pix[0], got.Pix[1], got.Pix[2], 255}, got.NRGBAAt(0, 0), name)
		if m.said == "" {
			assert.Empty(t, said, name)
		} else {
			assert.Contains(t, said, m.said, name)
			assert.Contains(t, said, "mask_channel", name)
		}
	}
}

func grey4() image.Image {
	return &image.Gray{Pix: []uint8{0, 0, 255, 255}, Stride: 4, Rect: image.Rect(0, 0, 4, 1)}
}

// photo is dark and transparent on the left, and of many colours on the right.
func photo() *image.NRGBA {
	img := halves(color.NRGBA{}, color.NRGBA{})
	for y := 3; y < 11; y++ {
		for x := 7; x < 11; x++ {
			img.SetNRGBA(x, y, color.NRGBA{uint8(200 + 5*y), uint8(255 - 9*x), 180, 255})
		}
	}
	return img
}
