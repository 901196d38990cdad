package regions

import (
	"image"
	"image/color"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestShares: a border through a cell is shared, free cells are the request's own, and shares sum to 1.
func TestShares(t *testing.T) {
	left := request.Region{Box: &[4]float64{0, 0, 0.375, 1}}
	right := request.Region{Box: &[4]float64{24, 0, 64, 64}}
	r := request.Request{Width: 64, Height: 64, Regions: []request.Region{left}}
	shares := Shares(&r, 1, 4)
	assert.Equal(t, [][]float32{{0, 0.5, 1, 1}, {1, 0.5, 0, 0}}, shares)
	assert.False(t, Alone(&r, 1, 4))

	r.Regions = append(r.Regions, right)
	assert.Equal(t, [][]float32{nil, {1, 0.5, 0, 0}, {0, 0.5, 1, 1}}, Shares(&r, 1, 4))
	assert.True(t, Alone(&r, 1, 4))

	r.PromptWeight, r.Regions[1].Weight = 0.5, new(3.0)
	got := Shares(&r, 1, 4)
	assert.False(t, Alone(&r, 1, 4))
	for i, want := range [][3]float64{{1. / 3, 2. / 3, 0}, {0.5 / 2.5, 0.5 / 2.5, 1.5 / 2.5}, {0.5 / 3.5, 0, 3 / 3.5},
		{0.5 / 3.5, 0, 3 / 3.5}} {
		for k := range want {
			assert.InDelta(t, want[k], got[k][i], 1e-6, "prompt %d in cell %d", k, i)
		}
	}
}

// TestMask: a cell has the mean of what lies under it, at any size, and regions that cover each pixel leave nothing free.
func TestMask(t *testing.T) {
	img := image.NewGray(image.Rect(0, 0, 3, 1))
	img.SetGray(0, 0, color.Gray{255})
	img.SetGray(1, 0, color.Gray{51})
	r := request.Request{Width: 96, Height: 32, Regions: []request.Region{{Mask: request.Picture{Image: img}}}}
	got := Shares(&r, 1, 2)
	require.Len(t, got, 2)
	assert.InDelta(t, (1+0.2/2)/1.5, got[1][0], 1e-6)
	assert.InDelta(t, 0.1/1.5, got[1][1], 1e-6)
	for _, size := range [][2]int{{1, 1}, {4, 12}, {3, 7}} {
		inverse := image.NewGray(img.Rect)
		for i, y := range img.Pix {
			inverse.Pix[i] = 255 - y
		}
		both := r
		both.Regions = []request.Region{r.Regions[0], {Mask: request.Picture{Image: inverse}}}
		assert.True(t, Alone(&both, size[0], size[1]), size)
	}
}

// TestCheckAtSizes: masks of the picture's proportions are right, but for rounding to a pixel.
func TestCheckAtSizes(t *testing.T) {
	for size, right := range map[[2]int]bool{{128, 96}: true, {64, 48}: true, {1024, 768}: true, {100, 75}: true, {101, 76}: true,
		{96, 128}: false, {128, 90}: false, {128, 128}: false} {
		img := image.NewGray(image.Rect(0, 0, size[0], size[1]))
		img.Pix[3] = 1
		r := request.Request{Width: 128, Height: 96, Regions: []request.Region{{Mask: request.Picture{Image: img}}}}
		var errs request.Errors
		Check(&r, func(key string) string { return key }, &errs)
		assert.Equal(t, right, len(errs) == 0, "%v: %v", size, errs)
	}
}
