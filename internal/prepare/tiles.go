package prepare

import (
	"cmp"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// fillTiles replaces the zero values of tiles that the UNet works on.
func (t *Target) fillTiles(r *request.Request) {
	d := &r.TiledDiffusion
	if !d.On() {
		return
	}
	unit := t.Settings.Downscale
	d.TileWidth, d.TileHeight = cmp.Or(d.TileWidth, t.Settings.Width), cmp.Or(d.TileHeight, t.Settings.Height)
	d.Overlap = cmp.Or(d.Overlap, min(d.TileWidth, d.TileHeight)/4/unit*unit)
}

// checkTiles refuses tiles that this model cannot work on. Defaults are filled in.
func (t *Target) checkTiles(r request.Request, errs *request.Errors) {
	d := r.TiledDiffusion
	if !d.On() {
		return
	}
	unit := t.Settings.Downscale
	for _, side := range []struct {
		key string
		n   int
	}{{"tile_width", d.TileWidth}, {"tile_height", d.TileHeight}, {"overlap", d.Overlap}} {
		if side.n%unit != 0 {
			errs.Add("tiled_diffusion."+side.key, "is %d; it must be a multiple of %d", side.n, unit)
		}
	}
	if least := min(d.TileWidth, d.TileHeight); d.Overlap >= least {
		errs.Add("tiled_diffusion.overlap", "is %d, and a tile is %d x %d; give less, such as %d", d.Overlap, d.TileWidth, d.TileHeight,
			least/4/unit*unit)
	}
}
