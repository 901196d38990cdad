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

// TestLevels: at every size each prompt keeps its part of the whole, however small its region is, and the shares of a cell sum to 1.
func TestLevels(t *testing.T) {
	sizes := [][2]int{{9, 13}, {5, 7}, {3, 4}, {2, 2}, {1, 1}}
	box := func(b ...float64) request.Region { return request.Region{Box: (*[4]float64)(b)} }
	dot := image.NewGray(image.Rect(0, 0, 104, 72))
	dot.Pix[40] = 255
	heavy := box(0, 0, 0.7, 1)
	heavy.Weight = new(50.0)
	for name, r := range map[string]request.Request{
		"halves":        {Regions: []request.Region{box(0, 0, 0.5, 1), box(0.5, 0, 1, 1)}},
		"one pixel":     {Regions: []request.Region{box(0, 0, 1, 1), {Mask: request.Picture{Image: dot}}}},
		"overlapping":   {Regions: []request.Region{heavy, box(0.3, 0.1, 1, 0.8)}},
		"uncovered":     {Regions: []request.Region{box(0.4, 0.4, 0.45, 0.45)}},
		"prompt within": {Regions: []request.Region{box(0, 0, 1, 1)}, PromptWeight: 0.2},
	} {
		t.Run(name, func(t *testing.T) {
			r.Width, r.Height = 104, 72
			list := Shares(&r, 9, 13)
			var sums [5][]float64
			for _, shares := range list {
				if shares == nil {
					continue
				}
				whole, levels := mean(len(shares), 1, 0, func(i int) float64 { return float64(shares[i]) }), Levels(shares, 9, 13, sizes)
				assert.Positive(t, whole)
				assert.Equal(t, shares, levels[:9*13], "the first level is what it is made of")
				for l, size := range sizes {
					n := size[0] * size[1]
					part := 0.0
					sums[l] = append(sums[l], make([]float64, n-len(sums[l]))...)
					for i, v := range levels[:n] {
						assert.GreaterOrEqual(t, v, float32(0))
						part += float64(v) / float64(n)
						sums[l][i] += float64(v)
					}
					assert.InDelta(t, whole, part, 1e-6, "%v: its part of the picture", size)
					levels = levels[n:]
				}
			}
			for l, cells := range sums {
				for _, v := range cells {
					assert.InDelta(t, 1, v, 1e-6, sizes[l])
				}
			}
		})
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
