package backendtest

import (
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// ofRegions are the texts of an input's last two rows in parts of the picture: two for each, which are the row's own.
func ofRegions(u backend.UNetInfo, in backend.UNetInput, share float32) backend.TextRegions {
	n, h, w := in.Sample.Shape[0], in.Sample.Shape[2], in.Sample.Shape[3]
	r := backend.TextRegions{Count: 2, Rows: 2, Context: backend.NewTensor(4, in.Context.Shape[1], in.Context.Shape[2])}
	own := rows(in.Context, n-2, 2).Data
	copy(r.Context.Data[copy(r.Context.Data, own):], own)
	r.Shares = slices.Repeat([]float32{share}, 4*u.MaskCount(h, w))
	return r
}

// unetRegions: texts that are the row's own change no bit, a text that has all of the picture counts as if it were the row's, and other
// rows do not see it.
func unetRegions(t tester, m Models) {
	model := open(t, m.Backend, m.Base)
	u := model.Info().UNet
	const n, h, w = 3, 7, 6
	in, out := unetInput(model.Info(), n, h, w)
	size := len(out) / n
	eval := func(context backend.Tensor, r backend.TextRegions) []float32 {
		given := in
		given.Context, given.Regions = context, r
		out := make([]float32, n*size)
		require.NoError(t, model.UNet(t.Context(), given, out))
		requireNumbers(t, out)
		return out
	}
	plain := eval(in.Context, backend.TextRegions{})
	require.Equal(t, plain, eval(in.Context, ofRegions(u, in, 0.3)), "the row's own texts")

	r := ofRegions(u, in, 0)
	for i, v := range r.Context.Data { // others in each place
		r.Context.Data[i] = -v * float32(1+i*4/len(r.Context.Data)) / 2
	}
	require.Equal(t, plain, eval(in.Context, r), "texts that count nowhere")
	each, text := len(r.Shares)/2, len(r.Context.Data)/2
	for k := range 2 {
		clear(r.Shares)
		for i := range each {
			r.Shares[k*each+i] = 1
		}
		others := backend.Tensor{Shape: in.Context.Shape, Data: slices.Clone(in.Context.Data)}
		copy(others.Data[len(others.Data)-text:], r.Context.Data[k*text:][:text])
		got := eval(in.Context, r)
		requireNear(t, eval(others, backend.TextRegions{}), got, "a text that has all of the picture")
		requireNear(t, plain[:size], got[:size], "a row without regions")
		require.NotEqual(t, plain[size:], got[size:])
	}
	require.Equal(t, plain, eval(in.Context, backend.TextRegions{}), "the next evaluation")

	bytes, err := model.ComputeBytes(backend.ComputeQuery{Stage: backend.StageUNet, Batch: n, Height: h, Width: w, ContextTokens: 77,
		Regions: backend.RegionTexts{Count: 2, Rows: 2, Sets: 1}})
	require.NoError(t, err)
	require.Positive(t, bytes)
}

func unetRegionsRefuses(t tester, m Models) {
	model := open(t, m.Backend, m.Base)
	type call struct {
		backend.UNetInput
		out []float32
	}
	requireRefusals(t, func() (c call) {
		c.UNetInput, c.out = unetInput(model.Info(), 3, 4, 4)
		c.Regions = ofRegions(model.Info().UNet, c.UNetInput, 0.5)
		return c
	}, func(c call) error { return model.UNet(t.Context(), c.UNetInput, c.out) }, map[string]func(*call){
		"negative count": func(c *call) { c.Regions.Count = -1 },
		"no rows":        func(c *call) { c.Regions.Rows = 0 },
		"too many rows":  func(c *call) { c.Regions.Rows = 4 },
		"too few shares": func(c *call) { c.Regions.Shares = c.Regions.Shares[1:] },
		"no texts":       func(c *call) { c.Regions.Context = backend.Tensor{} },
		"short texts":    func(c *call) { c.Regions.Context.Data = c.Regions.Context.Data[1:] },
	})
}
