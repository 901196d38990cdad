package steps

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestStarts: tiles cover a side, begin and end with it, and have at least the overlap in common.
func TestStarts(t *testing.T) {
	assert.Equal(t, []int{0}, starts(128, 128, 32))
	assert.Equal(t, []int{0, 64, 128}, starts(256, 128, 32)) // (256-32)/96 is 2.3
	for side := 5; side < 70; side++ {
		for tile := 4; tile <= side; tile++ {
			for overlap := range tile {
				at := starts(side, tile, overlap)
				require.Zero(t, at[0])
				require.Equal(t, side, at[len(at)-1]+tile, "side %d, tile %d, overlap %d", side, tile, overlap)
				for i := 1; i < len(at); i++ {
					require.LessOrEqual(t, at[i], at[i-1]+tile-overlap, "side %d, tile %d, overlap %d", side, tile, overlap)
					require.Greater(t, at[i], at[i-1])
				}
			}
		}
	}
}

// TestTilesJoin: what is cut out and joined again is the same, in planes of any number.
func TestTilesJoin(t *testing.T) {
	const h, w, planes = 21, 29, 3
	whole := make([]float32, planes*h*w)
	for i := range whole {
		whole[i] = float32(i%97) - 40
	}
	for _, method := range []string{"multidiffusion", "mixture"} {
		d := newTiles(request.TiledDiffusion{Method: method, TileWidth: 96, TileHeight: 80, Overlap: 24}, 8, h, w)
		require.Len(t, d.at, 3*3)
		joined, part := make([]float32, len(whole)), make([]float32, planes*d.height*d.width)
		for k := range d.at {
			d.cut(part, whole, k, h, w)
			d.add(joined, part, k, h, w)
		}
		d.divide(joined)
		assert.InDeltaSlice(t, whole, joined, 1e-4, method)
	}
}

// TestTileOfMask: a tile of a batch has its own part of the mask, and of each masked picture.
func TestTileOfMask(t *testing.T) {
	const h, w = 4, 6
	d := newTiles(request.TiledDiffusion{Method: "multidiffusion", TileWidth: 32, TileHeight: 32, Overlap: 8}, 8, h, w)
	b := &Batch{Height: h, Width: w, given: &given{shown: make([]float32, h*w), masked: make([]float32, 2*4*h*w)}}
	for i := range b.given.masked {
		b.given.masked[i] = float32(i)
	}
	for i := range b.given.shown {
		b.given.shown[i] = float32(i)
	}
	last := b.tile(d, len(d.at)-1)
	assert.Equal(t, []int{4, 4}, []int{last.Height, last.Width})
	assert.Equal(t, []float32{2, 3, 4, 5, 8, 9, 10, 11, 14, 15, 16, 17, 20, 21, 22, 23}, last.given.shown)
	assert.Len(t, last.given.masked, 2*4*4*4)
	assert.Equal(t, float32(h*w+2), last.given.masked[16])
	assert.Len(t, b.given.shown, h*w, "the whole stays as it was")
}
