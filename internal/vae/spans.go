package vae

import "math"

// span is one tile's part of an axis, in the units of that axis: cells or pixels.
type span struct{ from, to int }

func (s span) len() int { return s.to - s.from }

// times scales a span from cells to units.
func (s span) times(unit int) span { return span{s.from * unit, s.to * unit} }

// spans covers n units with as few tiles as do it at this size and overlap. They are then made as small as the overlap
// allows, all of one size, so that a backend builds its graph once, and spread evenly.
func spans(n, size, overlap int) []span {
	if n <= size {
		return []span{{0, n}}
	}
	count := (n - overlap + size - overlap - 1) / (size - overlap)
	size = (n + (count-1)*overlap + count - 1) / count
	out := make([]span, count)
	for i := range out {
		from := i * (n - size) / (count - 1)
		out[i] = span{from, from + size}
	}
	return out
}

// feathers returns for each of the spans, scaled to unit outputs a unit, its weight at each output: a linear ramp over
// what it shares with a neighbour and one inside, over the sum of all tiles' at that output.
func feathers(tiles []span, unit int) [][]float32 {
	n := tiles[len(tiles)-1].to * unit
	sum := make([]float32, n)
	out := make([][]float32, len(tiles))
	for i, tile := range tiles {
		w := make([]float32, tile.len()*unit)
		before, after := 0, 0
		if i > 0 {
			before = (tiles[i-1].to - tile.from) * unit
		}
		if i+1 < len(tiles) {
			after = (tile.to - tiles[i+1].from) * unit
		}
		for k := range w {
			w[k] = 1
			if k < before {
				w[k] = (float32(k) + 0.5) / float32(before)
			}
			if left := len(w) - 1 - k; left < after {
				w[k] = min(w[k], (float32(left)+0.5)/float32(after))
			}
			sum[tile.from*unit+k] += w[k]
		}
		out[i] = w
	}
	for i, tile := range tiles {
		for k := range out[i] {
			out[i][k] /= sum[tile.from*unit+k]
		}
	}
	return out
}

// cores cuts n units into as many disjoint parts as there are spans, at the middles of what neighbours share: each
// unit belongs to the tile that sees most of its surroundings.
func cores(tiles []span) []span {
	out := make([]span, len(tiles))
	for i, tile := range tiles {
		out[i] = tile
		if i > 0 {
			out[i].from = out[i-1].to
		}
		if i+1 < len(tiles) {
			out[i].to = (tile.to + tiles[i+1].from) / 2
		}
	}
	return out
}

// overlapOf is a share of a tile in whole units, at most half a tile.
func overlapOf(size int, share float64) int {
	return min(int(math.Round(share*float64(size))), size/2)
}
