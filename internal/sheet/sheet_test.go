package sheet

import (
	"errors"
	"image"
	"image/color"
	"image/draw"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// plain is a picture of one colour.
func plain(w, h int, c color.NRGBA) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	draw.Draw(img, img.Bounds(), image.NewUniform(c), image.Point{}, draw.Src)
	return img
}

// colours counts the pixels of each colour.
func colours(img *image.NRGBA) map[color.NRGBA]int {
	out := map[color.NRGBA]int{}
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			out[img.NRGBAAt(x, y)]++
		}
	}
	return out
}

// TestDraw: every picture is there, pixel by pixel, in its place; a missing one is grey; labels are drawn in ink.
func TestDraw(t *testing.T) {
	shade := func(c, r, b int) color.NRGBA {
		return color.NRGBA{R: uint8(40 * c), G: uint8(60 * r), B: uint8(200 - 90*b), A: 255}
	}
	s := Sheet{Columns: []string{"one", "two", "three"}, Rows: []string{"a rather long label of a row", "b"},
		Blocks: []string{"first", "second"}, Cell: image.Pt(80, 64), Picture: func(c, r, b int) (image.Image, error) {
			if c == 2 && r == 1 && b == 1 {
				return nil, nil
			}
			return plain(80, 64, shade(c, r, b)), nil
		}}
	img, err := s.Draw()
	require.NoError(t, err)
	found := colours(img)
	for b := range 2 {
		for r := range 2 {
			for c := range 3 {
				if c == 2 && r == 1 && b == 1 {
					continue
				}
				assert.InDelta(t, 80*64, found[shade(c, r, b)], 20, "%d %d %d", c, r, b) // the edges of letters have all shades
			}
		}
	}
	assert.InDelta(t, 80*64, found[empty], 20)
	assert.Positive(t, found[ink])
	assert.Greater(t, found[paper], found[ink])

	bare := Sheet{Columns: []string{""}, Rows: []string{""}, Blocks: []string{""}, Cell: image.Pt(80, 64), Picture: s.Picture}
	img, err = bare.Draw()
	require.NoError(t, err)
	assert.Zero(t, colours(img)[ink], "no labels, no ink")
	bare.Caption = func(int, int, int) string { return "seed 7" }
	img, err = bare.Draw()
	require.NoError(t, err)
	assert.Positive(t, colours(img)[ink])
}

// TestDrawFits: a sheet of large pictures is not larger than MaxSide, and pictures of other sizes keep their proportions.
func TestDrawFits(t *testing.T) {
	labels := make([]string, 12)
	s := Sheet{Columns: labels, Rows: labels, Blocks: []string{""}, Cell: image.Pt(1024, 768)}
	s.Picture = func(int, int, int) (image.Image, error) {
		return plain(64, 128, color.NRGBA{R: 200, A: 255}), nil
	}
	img, err := s.Draw()
	require.NoError(t, err)
	assert.LessOrEqual(t, max(img.Rect.Dx(), img.Rect.Dy()), MaxSide)
	assert.Greater(t, img.Rect.Dx(), MaxSide/2)
	assert.Equal(t, 144*64*128, colours(img)[color.NRGBA{R: 200, A: 255}])
}

// TestDrawFails: an error of a picture is the sheet's, and a sheet of nothing is an error.
func TestDrawFails(t *testing.T) {
	bad := errors.New("bad")
	s := Sheet{Columns: []string{""}, Rows: []string{""}, Blocks: []string{""}, Cell: image.Pt(8, 8),
		Picture: func(int, int, int) (image.Image, error) { return nil, bad }}
	_, err := s.Draw()
	require.ErrorIs(t, err, bad)
	s.Rows = nil
	_, err = s.Draw()
	require.Error(t, err)
}

// TestWrap: labels are broken at spaces, words that are too long are cut, and very long texts end in dots.
func TestWrap(t *testing.T) {
	s := Sheet{Columns: []string{""}, Rows: []string{""}, Blocks: []string{""}, Cell: image.Pt(128, 128)}
	l, err := s.layout()
	require.NoError(t, err)
	assert.Equal(t, []string{"a fox in a", "wood"}, l.wrap("a fox in a wood", 70))
	assert.Empty(t, l.wrap("", 70))
	lines := l.wrap(strings.Repeat("w", 40), 70)
	assert.Greater(t, len(lines), 1)
	long := l.wrap(strings.Repeat("word ", 200), 70)
	assert.Len(t, long, mostLines)
	assert.True(t, strings.HasSuffix(long[mostLines-1], "..."))
}
