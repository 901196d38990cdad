package prepare

import (
	"cmp"
	"fmt"

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

// mostWithTiles is the strength up to which tiles paint details, and not the subject again.
const mostWithTiles = 0.5

// doubtsOfTiles says that each tile will paint all that the prompt says.
func doubtsOfTiles(r *request.Request) []string {
	d := r.TiledDiffusion
	if !d.On() || len(r.ControlNets) > 0 {
		return nil
	}
	for _, pass := range []struct {
		key           string
		width, height int
		strength      float64
	}{{"strength", r.Width, r.Height, cmp.Or(r.Strength, 1)}, {"hires.strength", r.Hires.Width, r.Hires.Height, r.Hires.Strength}} {
		if (pass.width > d.TileWidth || pass.height > d.TileHeight) && pass.strength > mostWithTiles {
			return []string{fmt.Sprintf("each tile of tiled_diffusion gets the whole prompt, and at %s %v it paints the subject again; begin "+
				"with a picture, with a strength up to 0.4, or add a ControlNet of the kind tile", pass.key, pass.strength)}
		}
	}
	return nil
}
