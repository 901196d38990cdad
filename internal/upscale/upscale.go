// Package upscale enlarges pictures with an upscaling network. It works tile by tile, so that the network's memory does not grow with the
// picture.
package upscale

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"

	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// The sizes that zero Options stand for, in pixels of the picture that is enlarged.
const (
	DefaultTileSize = 256
	DefaultOverlap  = 32
)

// ErrNotFinite is matched by the error of an enlarged picture with values that are NaN or infinite.
var ErrNotFinite = errors.New("the enlarged picture has values that are not finite; try precision f32, or another upscaler")

// Options say how a picture is cut up. The zero value is a good choice.
type Options struct {
	TileSize int                   // side of a tile with its surroundings
	Overlap  int                   // surroundings on each side: the network sees them, and its output loses them; -1: none
	Progress func(done, total int) // called after each tile; may be nil
}

// tile is a part of an axis: what the network sees, and the part of it that is kept.
type tile struct{ from, to, keepFrom, keepTo int }

// Picture enlarges img with m, a model of kind upscaler. A pixel that such a network makes depends on what is near it only, so that tiles
// that overlap enough fit together without blending. Cancelling ctx stops it inside a tile on the CPU.
func Picture(ctx context.Context, m backend.Model, img image.Image, o Options) (*image.NRGBA, error) {
	info := m.Info()
	if info.Kind != backend.KindUpscaler {
		return nil, fmt.Errorf("upscaling: a model of kind %q is no upscaler", info.Kind)
	}
	if o.TileSize == 0 {
		o.TileSize = DefaultTileSize
	}
	switch {
	case o.Overlap == 0:
		o.Overlap = DefaultOverlap
	case o.Overlap == -1:
		o.Overlap = 0
	}
	unit, scale := max(info.Upscaler.Multiple, 1), info.Upscaler.Scale
	if o.Overlap < 0 || o.TileSize < unit || o.TileSize%unit != 0 || o.TileSize <= 2*o.Overlap {
		return nil, fmt.Errorf("bad upscaling options: tiles of %d with an overlap of %d; they must be a multiple of %d and more than "+
			"twice the overlap", o.TileSize, o.Overlap, unit)
	}
	ctx = backend.WithWrap(ctx, 0) // tiles have borders of their own
	in := picture.Opaque(img)
	w, h := in.Rect.Dx(), in.Rect.Dy()
	if w == 0 || h == 0 {
		return nil, fmt.Errorf("upscaling: the picture has no pixels")
	}
	rows, columns := tiles(h, o.TileSize, o.Overlap, unit), tiles(w, o.TileSize, o.Overlap, unit)
	out := image.NewNRGBA(image.Rect(0, 0, w*scale, h*scale))
	for i, row := range rows {
		for k, column := range columns {
			pixels, err := m.Upscale(ctx, cut(in, row, column))
			if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(pixels.Data, func(v float32) bool { return v-v != 0 }) {
				return nil, ErrNotFinite
			}
			paste(out, pixels, row, column, scale)
			if o.Progress != nil {
				o.Progress(i*len(columns)+k+1, len(rows)*len(columns))
			}
		}
	}
	return out, nil
}

// Tile is the side of the tiles that n pixels are cut into by default.
func Tile(n int, info backend.ModelInfo) int {
	unit := max(info.Upscaler.Multiple, 1)
	return min(DefaultTileSize, (n+unit-1)/unit*unit)
}

// tiles covers n pixels with tiles of one size, so that a backend builds its graph once. One that is larger than the picture is
// filled up with the pixels at its border.
func tiles(n, size, overlap, unit int) []tile {
	if n <= size {
		return []tile{{0, (n + unit - 1) / unit * unit, 0, n}}
	}
	var out []tile
	for at := 0; at < n; {
		from := min(max(at-overlap, 0), n-size)
		t := tile{from, from + size, at, from + size - overlap}
		if t.to >= n {
			t.keepTo = n
		}
		out = append(out, t)
		at = t.keepTo
	}
	return out
}

// cut takes a tile out of a picture as [1, 3, height, width] in [0, 1].
func cut(img *image.NRGBA, row, column tile) backend.Tensor {
	h, w := row.to-row.from, column.to-column.from
	t := backend.NewTensor(1, 3, h, w)
	for y := range h {
		for x := range w {
			at := img.PixOffset(min(column.from+x, img.Rect.Dx()-1), min(row.from+y, img.Rect.Dy()-1))
			for c := range 3 {
				t.Data[(c*h+y)*w+x] = float32(img.Pix[at+c]) / 255
			}
		}
	}
	return t
}

// paste writes the part of an enlarged tile that is kept.
func paste(out *image.NRGBA, pixels backend.Tensor, row, column tile, scale int) {
	h, w := pixels.Shape[2], pixels.Shape[3]
	for y := row.keepFrom * scale; y < row.keepTo*scale; y++ {
		for x := column.keepFrom * scale; x < column.keepTo*scale; x++ {
			at := out.PixOffset(x, y)
			from := (y-row.from*scale)*w + x - column.from*scale
			for c := range 3 {
				v := min(max(pixels.Data[c*h*w+from], 0), 1)
				out.Pix[at+c] = uint8(math.RoundToEven(float64(v * 255)))
			}
			out.Pix[at+3] = 255
		}
	}
}
