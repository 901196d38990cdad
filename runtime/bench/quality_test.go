package bench

import (
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/npy"
)

// kept writes a picture whose pixel (x, y) is what paint says, with latents.
func kept(t *testing.T, prompt string, side int, latents []float32, paint func(x, y int) color.NRGBA) keptFiles {
	t.Helper()
	base := filepath.Join(t.TempDir(), strconv.Itoa(len(prompt)))
	img := image.NewNRGBA(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			img.SetNRGBA(x, y, paint(x, y))
		}
	}
	f, err := os.Create(base + ".png")
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, img))
	require.NoError(t, f.Close())
	require.NoError(t, npy.WriteFile(base+".npy", npy.Array{Shape: []int{len(latents)}, Data: latents}))
	return keptFiles{Prompt: prompt, Picture: base + ".png", Latents: base + ".npy"}
}

func grey(v uint8) func(x, y int) color.NRGBA {
	return func(x, y int) color.NRGBA { return color.NRGBA{v, uint8(8 * x), uint8(8 * y), 255} }
}

func TestLatentDistance(t *testing.T) {
	nmse, cosine := latentDistance([]float32{3, 4}, []float32{3, 4})
	assert.Zero(t, nmse)
	assert.Equal(t, 1.0, cosine)
	nmse, cosine = latentDistance([]float32{4, 3}, []float32{3, 4})
	assert.InDelta(t, 2.0/25, nmse, 1e-12)
	assert.InDelta(t, 24.0/25, cosine, 1e-12)
	nmse, cosine = latentDistance([]float32{0, 0}, []float32{3, 4})
	assert.Equal(t, 1.0, nmse)
	assert.Zero(t, cosine)
}

func TestCompareImages(t *testing.T) {
	want := []keptFiles{kept(t, "a", 32, []float32{3, 4}, grey(100)), kept(t, "b", 32, []float32{3, 4}, grey(100))}
	q, err := compareImages(want, want)
	require.NoError(t, err)
	assert.Equal(
		t,
		&quality{
			Pictures:     2,
			Cosine:       1,
			CosineWorst:  1,
			PSNR:         EqualPSNR,
			PSNRWorst:    EqualPSNR,
			SSIM:         q.SSIM,
			SSIMWorst:    q.SSIMWorst,
			EqualPicture: 2,
		},
		q,
	)
	assert.InDelta(t, 1, q.SSIM, 1e-9)

	// one of the two pictures is off by 3 in red: a third of the values
	have := []keptFiles{want[0], kept(t, "bb", 32, []float32{4, 3}, grey(103))}
	q, err = compareImages(have, want)
	require.NoError(t, err)
	db := 10 * math.Log10(255*255/3.0)
	assert.InDelta(t, db, q.PSNRWorst, 1e-4)
	assert.InDelta(t, (db+EqualPSNR)/2, q.PSNR, 1e-4, "the median")
	assert.Equal(t, 1, q.EqualPicture)
	assert.InDelta(t, 0.08, q.NMSEWorst, 1e-9)
	assert.InDelta(t, 0.96, q.CosineWorst, 1e-9)
	assert.Less(t, q.SSIMWorst, 1.0)

	_, err = compareImages(have[:1], want)
	assert.ErrorContains(t, err, "1 pictures, and 2 of the reference")
	_, err = compareImages([]keptFiles{kept(t, "small", 16, []float32{3, 4}, grey(1))}, want[:1])
	assert.ErrorContains(t, err, "of the reference")
	_, err = compareImages([]keptFiles{kept(t, "long", 32, []float32{3, 4, 5}, grey(1))}, want[:1])
	assert.ErrorContains(t, err, "latents of shape [3]")
	q, err = compareImages(nil, nil)
	assert.NoError(t, err)
	assert.Nil(t, q)
}

func TestCheckImages(t *testing.T) {
	square := func(x, y int) color.NRGBA {
		if x >= 36 && x < 92 && y >= 36 && y < 92 {
			return color.NRGBA{220, 30, 30, 255}
		}
		return color.NRGBA{30, 60, 210, 255}
	}
	c, err := checkImages(
		[]keptFiles{
			kept(t, "a red square on a blue background", 128, []float32{1}, square),
			kept(t, "a red circle on a pink background", 128, []float32{1}, square),
		},
	)
	require.NoError(t, err)
	assert.Equal(t, &checked{Pictures: 2, Colour: 2, Background: 1, Shape: 1, Right: 1, IoU: c.IoU}, c)
	_, err = checkImages([]keptFiles{kept(t, "no prompt of its kind", 128, []float32{1}, square)})
	assert.Error(t, err)
}
