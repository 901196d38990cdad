package steps

import (
	"github.com/daguerre-go/daguerre/internal/regions"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// attendRegions gives the UNet's inputs the texts of regions, where these are joined in its attention.
func (g *guided) attendRegions(b *Batch, f form) {
	if !b.attends() {
		return
	}
	negative := b.lead().encoder(g.refiner).Now().Negative != nil
	for k := range g.inputs {
		n := len(g.inputs[k].Timesteps)
		from := n // what only the negative half sees
		if !negative || f.halves != negativeHalf {
			from = g.positive(k, n, b)
		}
		g.regions = append(g.regions, g.regionTexts(b, from, n))
	}
}

// regionTexts lists the texts that the last rows of an input have beside their own: those from row `from` of its n rows on.
func (g *guided) regionTexts(b *Batch, from, n int) (out regionTexts) {
	u := g.model.Info.UNet
	first := b.lead().encoder(g.refiner).Now().Positive
	r := backend.TextRegions{Count: len(first) - 1, Rows: n - from}
	if r.Count == 0 || r.Rows == 0 {
		return out
	}
	r.Context = backend.NewTensor(r.Count*r.Rows, first[0].Tokens, u.ContextDim)
	at := r.Context.Data
	out.shares = make([][]float32, 1)
	if g.tiles != nil {
		out.shares = make([][]float32, len(g.tiles.at))
	}
	for k := range r.Count {
		for row := range r.Rows {
			m := b.Slots[(from+row)%b.Len()].Member
			at = at[copy(at, m.encoder(g.refiner).Now().Positive[1+k].Context):]
			for tile := range out.shares {
				out.shares[tile] = append(out.shares[tile], g.levels(b, b.sharesOf(m)[1+k], tile)...)
			}
		}
	}
	out.texts = r
	return out
}

// levels are a prompt's shares in a tile, or in the whole, for each level of the UNet.
func (g *guided) levels(b *Batch, shares []float32, tile int) []float32 {
	height, width := b.Height, b.Width
	if d := g.tiles; d != nil {
		part := make([]float32, d.height*d.width)
		d.cut(part, shares, tile, height, width)
		shares, height, width = part, d.height, d.width
	}
	return regions.Levels(shares, height, width, g.model.Info.UNet.LevelSizes(height, width))
}
