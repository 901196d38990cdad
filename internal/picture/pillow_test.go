package picture

import (
	"fmt"
	"image"
	"image/draw"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pillow reads the bytes of a golden array.
func pillow(t *testing.T, name string, n int) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "goldens", "pillow_"+name+".npy"))
	require.NoError(t, err)
	require.Greater(t, len(data), n)
	return data[len(data)-n:]
}

// small is the part of a golden picture that Pillow was given.
func small(t *testing.T, name string) *image.NRGBA {
	t.Helper()
	img, err := Read(filepath.Join("..", "..", "testdata", "goldens", name+".png"), 1<<20)
	require.NoError(t, err)
	out := image.NewNRGBA(image.Rect(0, 0, 40, 31))
	draw.Draw(out, out.Rect, Opaque(img), image.Pt(110, 30), draw.Src)
	return out
}

// TestBlurIsPillows compares bit for bit, also where the blur is wider than the picture.
func TestBlurIsPillows(t *testing.T) {
	mask := image.NewGray(image.Rect(0, 0, 40, 31))
	draw.Draw(mask, mask.Rect, small(t, "input_paint_disc"), image.Point{}, draw.Src)
	want := pillow(t, "blur", 3*40*31)
	for i, deviation := range []float64{0.5, 4, 64} {
		assert.Equal(t, want[i*40*31:(i+1)*40*31], Blur(mask, deviation).Pix, "%v", deviation)
	}
	assert.Equal(t, mask.Pix, Blur(mask, 0).Pix)
	part := mask.SubImage(image.Rect(5, 4, 25, 20)).(*image.Gray)
	assert.Equal(t, image.Rect(0, 0, 20, 16), Blur(part, 1).Rect)
	assert.Equal(t, mask.GrayAt(7, 9), Blur(part, 0).GrayAt(2, 5))
}

// TestLanczosIsPillows compares bit for bit: larger, smaller, and one side each way.
func TestLanczosIsPillows(t *testing.T) {
	img := small(t, "input_paint")
	for _, size := range [][2]int{{64, 48}, {17, 11}, {50, 9}, {12, 40}} {
		got := Resize(img, size[0], size[1])
		want := pillow(t, fmt.Sprintf("%dx%d", size[0], size[1]), 3*size[0]*size[1])
		for i := range size[0] * size[1] {
			require.Equal(t, want[3*i:3*i+3], got.Pix[4*i:4*i+3], "%v, pixel %d", size, i)
			require.Equal(t, uint8(255), got.Pix[4*i+3])
		}
	}
}
