package request

// TiledDiffusion evaluates the UNet on tiles that overlap, and joins what it predicts for them in every step: the [tiled_diffusion] table.
// Its zero value is no tiles. Sides are pixels. A pass that is not larger than a tile is made as without it. Method is "multidiffusion"
// (arXiv 2302.08113), where each tile counts the same, or "mixture" (Mixture of Diffusers, arXiv 2302.02412), where the middle of a tile
// counts more.
type TiledDiffusion struct {
	Method     string `json:"method,omitempty" key:"method"`
	TileWidth  int    `json:"tile_width,omitempty" key:"tile_width" default:"the model's own width"`
	TileHeight int    `json:"tile_height,omitempty" key:"tile_height" default:"the model's own height"`
	Overlap    int    `json:"overlap,omitempty" key:"overlap" default:"a quarter of the tile's shorter side"`
}

// On reports whether the UNet works by tiles.
func (t TiledDiffusion) On() bool { return t.Method != "" }

func (r Request) validateTiles(c checker) {
	t := r.TiledDiffusion
	if t == (TiledDiffusion{}) {
		return
	}
	if !t.On() {
		c.lacks("tiled_diffusion", "has no method; give one, multidiffusion or mixture, or leave the table out")
	}
	if way := r.Reuse.Way(); way == "deepcache" || way == "tgate" {
		c.fail("tiled_diffusion", "cannot be used with reuse.%s, which keeps features of one tile; leave one of them out, or use "+
			"easycache, ucache or spectrum", way)
	}
	if r.Seamless != "" && r.Seamless != SeamlessNone {
		c.fail("tiled_diffusion", "cannot be used with seamless, which would join the borders of each tile; leave one of them out")
	}
	for i, a := range r.IPAdapters {
		if len(a.Masks) > 0 {
			c.fail("tiled_diffusion", "cannot be used with the masks of ip_adapter[%d]; leave one of them out", i)
		}
	}
}
