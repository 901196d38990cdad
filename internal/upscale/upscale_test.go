package upscale

import (
	"context"
	"image"
	"image/color"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

func open(t *testing.T, b *fake.Backend, files backend.Files) backend.Model {
	t.Helper()
	m, err := b.Open(t.Context(), backend.ModelConfig{Files: files})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func sample(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, color.NRGBA{uint8(3 * x), uint8(5 * y), uint8(x * y), 255})
		}
	}
	return img
}

// TestTilesMakeTheWhole: the fake repeats pixels, so that every one must be where it belongs.
func TestTilesMakeTheWhole(t *testing.T) {
	b := &fake.Backend{}
	m := open(t, b, backend.Files{Upscaler: "u"})
	for _, size := range [][2]int{{50, 40}, {16, 16}, {1, 1}, {17, 100}} {
		img := sample(size[0], size[1])
		calls, last := b.Count(fake.OpUpscale), 0
		out, err := Picture(t.Context(), m, img, Options{TileSize: 16, Overlap: 4, Progress: func(done, total int) {
			assert.Equal(t, last+1, done)
			last = done
			assert.LessOrEqual(t, done, total)
		}})
		require.NoError(t, err)
		assert.Equal(t, b.Count(fake.OpUpscale)-calls, last)
		require.Equal(t, image.Rect(0, 0, 2*size[0], 2*size[1]), out.Rect)
		for y := range 2 * size[1] {
			for x := range 2 * size[0] {
				require.Equal(t, img.NRGBAAt(x/2, y/2), out.NRGBAAt(x, y))
			}
		}
	}
}

func TestTilesCoverAnAxis(t *testing.T) {
	assert.Equal(t, []tile{{0, 12, 0, 10}}, tiles(10, 16, 4, 4), "filled up to the network's unit")
	assert.Equal(t, []tile{{0, 16, 0, 12}, {8, 24, 12, 20}, {14, 30, 20, 30}}, tiles(30, 16, 4, 1))
}

func TestRefusals(t *testing.T) {
	m := open(t, &fake.Backend{}, backend.Files{Upscaler: "u"})
	for _, o := range []Options{{TileSize: 8, Overlap: 4}, {TileSize: -1}, {TileSize: 16, Overlap: -2}} {
		_, err := Picture(t.Context(), m, sample(4, 4), o)
		require.ErrorContains(t, err, "bad upscaling options")
	}
	_, err := Picture(t.Context(), m, image.NewNRGBA(image.Rectangle{}), Options{})
	require.ErrorContains(t, err, "no pixels")
	_, err = Picture(t.Context(), open(t, &fake.Backend{}, backend.Files{Model: "m"}), sample(4, 4), Options{})
	require.ErrorContains(t, err, "is no upscaler")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Picture(ctx, m, sample(4, 4), Options{})
	require.ErrorIs(t, err, context.Canceled)
}
