package steps

import (
	"slices"

	"github.com/daguerre-go/daguerre/internal/conditioning"
	"github.com/daguerre-go/daguerre/internal/regions"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// sharesOf says how much each prompt of a picture with regions counts in each cell of the latents; nil: it has none. The request's own
// prompt is left out where it counts nowhere.
func (b *Batch) sharesOf(m *Member) [][]float32 {
	if len(m.Request.Regions) == 0 {
		return nil
	}
	key := [2]int{b.Height, b.Width}
	if m.shares[key] == nil {
		list := regions.Shares(&m.Request, b.Height, b.Width)
		if m.Alone {
			list = list[1:]
		}
		if m.shares == nil {
			m.shares = map[[2]int][][]float32{}
		}
		m.shares[key] = list
	}
	return m.shares[key]
}

// attends reports whether the texts of regions are joined in the UNet's attention, and not their predictions.
func (b *Batch) attends() bool { return b.lead().Request.Attends() }

// regionTexts are the texts of regions for one of the UNet's inputs, with shares for each tile.
type regionTexts struct {
	texts  backend.TextRegions
	shares [][]float32
}

// at is what an evaluation of a tile is given.
func (r regionTexts) at(tile int) backend.TextRegions {
	if r.texts.Count > 0 {
		r.texts.Shares = r.shares[tile]
	}
	return r.texts
}

// joinTexts is the first of a picture's prompts for a row that attends to all of them. What speaks for the whole picture, the pooled
// embedding, is the mean of all by their parts of the picture. Equal ones stay what they are, bit for bit.
func joinTexts(list []conditioning.Embedding, shares [][]float32) conditioning.Embedding {
	out := list[0]
	out.Pooled = slices.Clone(out.Pooled)
	for k, other := range list[1:] {
		part := 0.0
		for _, v := range shares[1+k] {
			part += float64(v) / float64(len(shares[1+k]))
		}
		for i, v := range other.Pooled {
			out.Pooled[i] += float32(float32(part) * (v - list[0].Pooled[i]))
		}
	}
	return out
}

// joinRegions joins the predictions of a picture's prompts into the first one: in each cell their sum by their shares. Predictions that are
// equal stay what they are, bit for bit.
func joinRegions(parts [][]float32, shares [][]float32) {
	sum := parts[0]
	cells := len(shares[0])
	for i, first := range sum {
		for k, part := range parts[1:] {
			sum[i] += float32(shares[k+1][i%cells] * (part[i] - first))
		}
	}
}
