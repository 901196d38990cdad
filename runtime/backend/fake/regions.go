package fake

import "github.com/daguerre-go/daguerre/runtime/backend"

// rowOf is one row of a tensor.
func rowOf(t backend.Tensor, i int) []float32 {
	n := len(t.Data) / t.Shape[0]
	return t.Data[i*n:][:n]
}

// regions moves what a row wants to see in a cell to what its texts in parts of the picture want there.
func (m *model) regions(in backend.UNetInput, row int) func(cell int, own [latentChannels]float32) [latentChannels]float32 {
	r, first := in.Regions, in.Sample.Shape[0]-in.Regions.Rows
	if r.Count == 0 || row < first {
		return func(_ int, own [latentChannels]float32) [latentChannels]float32 { return own }
	}
	base := m.target(in, row, rowOf(in.Context, row))
	others, shares := make([][latentChannels]float32, r.Count), make([][]float32, r.Count)
	for k := range others {
		at := k*r.Rows + row - first
		others[k] = m.target(in, row, rowOf(r.Context, at))
		n := len(r.Shares) / (r.Count * r.Rows)
		shares[k] = r.Shares[at*n:][:n]
	}
	return func(cell int, own [latentChannels]float32) [latentChannels]float32 {
		for k, other := range others {
			for ch := range own {
				own[ch] += shares[k][cell] * (other[ch] - base[ch])
			}
		}
		return own
	}
}
