package steps

import (
	"github.com/daguerre-go/daguerre/internal/regions"
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
