package vae

import (
	"context"
	"fmt"
	"image"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// grid is a picture cut into tiles, in latent cells.
type grid struct {
	rows, columns []span
	height, width int
}

func newGrid(height, width, size, overlap int) grid {
	return grid{rows: spans(height, size, overlap), columns: spans(width, size, overlap), height: height, width: width}
}

func (g grid) count() int { return len(g.rows) * len(g.columns) }

// number counts tiles from 1, row by row.
func (g grid) number(row, column int) int { return row*len(g.columns) + column + 1 }

// cut copies rows and columns of one picture, [1, C, H, W], out.
func cut(t backend.Tensor, rows, columns span) backend.Tensor {
	out := backend.NewTensor(1, t.Shape[1], rows.len(), columns.len())
	height, width := t.Shape[2], t.Shape[3]
	for c := range t.Shape[1] {
		for r := range rows.len() {
			copy(out.Data[(c*rows.len()+r)*columns.len():][:columns.len()], t.Data[(c*height+rows.from+r)*width+columns.from:])
		}
	}
	return out
}

// canvas is where tiles are blended.
type canvas struct {
	out           backend.Tensor
	unit          int // outputs a cell and side
	grid          grid
	rows, columns [][]float32 // feathers
}

func newCanvas(g grid, channels, unit int) *canvas {
	return &canvas{out: backend.NewTensor(1, channels, g.height*unit, g.width*unit), unit: unit, grid: g,
		rows: feathers(g.rows, unit), columns: feathers(g.columns, unit)}
}

// add blends the tile of row r and column c in.
func (v *canvas) add(tile backend.Tensor, r, c int) {
	height, width := v.out.Shape[2], v.out.Shape[3]
	h, w := tile.Shape[2], tile.Shape[3]
	top, left := v.grid.rows[r].from*v.unit, v.grid.columns[c].from*v.unit
	for ch := range tile.Shape[1] {
		for y := range h {
			to := v.out.Data[(ch*height+top+y)*width+left:][:w]
			from, fy := tile.Data[(ch*h+y)*w:][:w], v.rows[r][y]
			for x, f := range v.columns[c] {
				to[x] += fy * f * from[x]
			}
		}
	}
}

// plain runs each tile by itself and blends: what a VAE without group norms can be given. A grid's cell is inUnit values
// of the input and outUnit of the output on a side.
func plain(ctx context.Context, in backend.Tensor, g grid, inUnit, outUnit int,
	run func(context.Context, backend.Tensor) (backend.Tensor, error)) (backend.Tensor, error) {
	var out *canvas
	for r := range g.rows {
		for c := range g.columns {
			tile, err := run(ctx, cut(in, g.rows[r].times(inUnit), g.columns[c].times(inUnit)))
			if err != nil {
				return backend.Tensor{}, fmt.Errorf("tile %d of %d: %w", g.number(r, c), g.count(), err)
			}
			if out == nil {
				out = newCanvas(g, tile.Shape[1], outUnit)
			}
			out.add(tile, r, c)
		}
	}
	return out.out, nil
}

// levels runs a part of the VAE by tiles with the group norms' statistics of the whole picture: once to gather them, and
// once to compute. Units are as in plain.
func levels(ctx context.Context, parts backend.VAEParts, stage backend.Stage, in backend.Tensor, g grid, inUnit, outUnit int) (
	backend.Tensor, error) {
	var whole pool
	rows, columns := cores(g.rows), cores(g.columns)
	for r := range rows {
		for c := range columns {
			y, x := g.rows[r].from, g.columns[c].from
			core := image.Rect((columns[c].from-x)*inUnit, (rows[r].from-y)*inUnit, (columns[c].to-x)*inUnit, (rows[r].to-y)*inUnit)
			tile := cut(in, g.rows[r].times(inUnit), g.columns[c].times(inUnit))
			_, measured, err := parts.RunVAEPart(ctx, backend.VAEPartInput{Stage: stage, Input: tile, Core: core})
			if err != nil {
				return backend.Tensor{}, fmt.Errorf("statistics of tile %d of %d: %w", g.number(r, c), g.count(), err)
			}
			whole.add(measured, float64(core.Dx())*float64(core.Dy()))
		}
	}
	statistics := whole.statistics()
	return plain(ctx, in, g, inUnit, outUnit, func(ctx context.Context, tile backend.Tensor) (backend.Tensor, error) {
		out, _, err := parts.RunVAEPart(ctx, backend.VAEPartInput{Stage: stage, Input: tile, Statistics: statistics})
		return out, err
	})
}
