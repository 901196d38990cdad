package prepare

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestDoubtsOfTiles: tiles that will paint the subject again and again are said.
func TestDoubtsOfTiles(t *testing.T) {
	tiles := request.TiledDiffusion{Method: "mixture", TileWidth: 1024, TileHeight: 1024}
	large := func(strength float64) request.Hires {
		return request.Hires{Width: 2048, Height: 2048, Strength: strength}
	}
	net := []request.ControlNet{{Model: "tile"}}
	for name, c := range map[string]struct {
		r    request.Request
		said bool
	}{
		"from noise":     {request.Request{Width: 2048, Height: 1024, TiledDiffusion: tiles}, true},
		"strong":         {request.Request{Width: 1024, Height: 2048, Strength: 0.75, TiledDiffusion: tiles}, true},
		"weak":           {request.Request{Width: 2048, Height: 2048, Strength: 0.4, TiledDiffusion: tiles}, false},
		"with a net":     {request.Request{Width: 2048, Height: 2048, TiledDiffusion: tiles, ControlNets: net}, false},
		"one tile":       {request.Request{Width: 1024, Height: 1024, TiledDiffusion: tiles}, false},
		"no tiles":       {request.Request{Width: 2048, Height: 2048}, false},
		"a second pass":  {request.Request{Width: 1024, Height: 1024, TiledDiffusion: tiles, Hires: large(0.7)}, true},
		"a weak second ": {request.Request{Width: 1024, Height: 1024, TiledDiffusion: tiles, Hires: large(0.4)}, false},
	} {
		assert.Equal(t, c.said, len(doubtsOfTiles(&c.r)) > 0, name)
	}
}

// TestCheckTiles: sizes that cannot be are errors, and what is left out is the model's own.
func TestCheckTiles(t *testing.T) {
	target := &Target{}
	target.Settings.Downscale, target.Settings.Width, target.Settings.Height = 8, 1024, 832
	r := request.Request{TiledDiffusion: request.TiledDiffusion{Method: "mixture"}}
	target.fillTiles(&r)
	assert.Equal(t, request.TiledDiffusion{Method: "mixture", TileWidth: 1024, TileHeight: 832, Overlap: 208}, r.TiledDiffusion)
	var none request.Errors
	target.checkTiles(r, &none)
	assert.Empty(t, none)
	for key, d := range map[string]request.TiledDiffusion{"tiled_diffusion.tile_width": {TileWidth: 500},
		"tiled_diffusion.tile_height": {TileHeight: 500}, "tiled_diffusion.overlap": {Overlap: 832}} {
		d.Method = "mixture"
		r := request.Request{TiledDiffusion: d}
		target.fillTiles(&r)
		var errs request.Errors
		target.checkTiles(r, &errs)
		assert.ErrorContains(t, errs.Err(), key)
	}
}
