package backendtest

import (
	"math"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// unetChange: the perturbed rows change and no others, a row does not depend on those beside it, FreeU changes all, and the next
// evaluation knows nothing of it.
func unetChange(t tester, m Models) {
	model := open(t, m.Backend, m.Base)
	blocks := model.Info().UNet.Blocks
	require.NotEmpty(t, blocks)
	const n, h, w = 4, 8, 6
	in, plain := unetInput(model.Info(), n, h, w)
	require.NoError(t, model.UNet(t.Context(), in, plain))
	size := len(plain) / n
	eval := func(in backend.UNetInput, c backend.UNetChange) []float32 {
		in.Change = c
		out := make([]float32, size*in.Sample.Shape[0])
		require.NoError(t, model.UNet(t.Context(), in, out))
		requireNumbers(t, out)
		return out
	}
	alone := func(row int, c backend.UNetChange) []float32 {
		return eval(backend.UNetInput{Sample: rows(in.Sample, row, 1), Timesteps: in.Timesteps[row : row+1], Context: rows(in.Context, row, 1),
			Pooled: rows(in.Pooled, row, 1), SizeIDs: rows(in.SizeIDs, row, 1)}, c)
	}
	all := strings.Join(blocks, "\n")
	identity := backend.UNetChange{IdentityRows: 1, IdentityLayers: all}
	blurred := backend.UNetChange{BlurredRows: 1, BlurredLayers: all, BlurSigma: 1}
	uniform := backend.UNetChange{BlurredRows: 1, BlurredLayers: blocks[0], BlurSigma: 1e6}
	both := backend.UNetChange{IdentityRows: 1, BlurredRows: 1, IdentityLayers: blocks[0], BlurredLayers: all, BlurSigma: 1}
	for name, c := range map[string]backend.UNetChange{"identity": identity, "blurred": blurred, "uniform": uniform, "both": both} {
		out := eval(in, c)
		require.Equal(t, out, eval(in, c), name)
		last := n - c.IdentityRows - c.BlurredRows
		requireNear(t, plain[:last*size], out[:last*size], name+": rows that are not perturbed")
		for row := last; row < n; row++ {
			require.NotEqual(t, plain[row*size:(row+1)*size], out[row*size:(row+1)*size], name)
			own := c
			if row < n-c.BlurredRows {
				own.BlurredRows = 0
			} else {
				own.IdentityRows = 0
			}
			requireNear(t, out[row*size:(row+1)*size], alone(row, own), name+": a row by itself")
		}
	}
	require.NotEqual(t, eval(in, blurred), eval(in, backend.UNetChange{BlurredRows: 1, BlurredLayers: all, BlurSigma: 2}), "sigma")
	require.NotEqual(t, eval(in, identity), eval(in, backend.UNetChange{IdentityRows: 1, IdentityLayers: blocks[0]}), "layers")

	requireNear(t, plain, eval(in, backend.UNetChange{FreeU: [4]float64{1, 1, 1, 1}}), "factors of 1")
	usual := [4]float64{0.9, 0.2, 1.3, 1.4}
	free := eval(in, backend.UNetChange{FreeU: usual})
	for row := range n {
		require.NotEqual(t, plain[row*size:(row+1)*size], free[row*size:(row+1)*size], "FreeU")
		requireNear(t, free[row*size:(row+1)*size], alone(row, backend.UNetChange{FreeU: usual}), "FreeU: a row by itself")
	}
	for i, f := range [][4]float64{{0.8, 0.2, 1.3, 1.4}, {0.9, 0.3, 1.3, 1.4},
		{0.9, 0.2, 1.2, 1.4}, {0.9, 0.2, 1.3, 1.5}} {
		require.NotEqual(t, free, eval(in, backend.UNetChange{FreeU: f}), "factor %d", i)
	}
	require.Equal(t, plain, eval(in, backend.UNetChange{}), "the next evaluation")

	q := backend.ComputeQuery{Stage: backend.StageUNet, Batch: n, Height: h, Width: w, ContextTokens: 77}
	for _, c := range []backend.UNetChange{{}, identity, blurred, uniform, both, {FreeU: usual}} {
		q.Change = c
		bytes, err := model.ComputeBytes(q)
		require.NoError(t, err)
		require.Positive(t, bytes)
	}
}

func unetChangeRefuses(t tester, m Models) {
	model := open(t, m.Backend, m.Base)
	blocks := strings.Join(model.Info().UNet.Blocks, "\n")
	_, features := model.(backend.FeatureModel)
	type call struct {
		backend.UNetInput
		out []float32
	}
	edits := map[string]func(*call){
		"too many rows": func(c *call) { c.Change = backend.UNetChange{IdentityRows: 3, IdentityLayers: blocks} },
		"too many in all": func(c *call) {
			c.Change = backend.UNetChange{IdentityRows: 1, BlurredRows: 2, IdentityLayers: blocks, BlurredLayers: blocks, BlurSigma: 1}
		},
		"negative rows": func(c *call) { c.Change = backend.UNetChange{IdentityRows: -1, BlurredRows: 2} },
		"no layers":     func(c *call) { c.Change = backend.UNetChange{IdentityRows: 1} },
		"no such layer": func(c *call) {
			c.Change = backend.UNetChange{IdentityRows: 1, IdentityLayers: blocks + "\nmid_block.none"}
		},
		"blurs no layer": func(c *call) { c.Change = backend.UNetChange{BlurredRows: 1, BlurredLayers: "mid", BlurSigma: 1} },
		"no sigma":       func(c *call) { c.Change = backend.UNetChange{BlurredRows: 1, BlurredLayers: blocks} },
		"negative sigma": func(c *call) { c.Change = backend.UNetChange{BlurredRows: 1, BlurredLayers: blocks, BlurSigma: -1} },
		"NaN": func(c *call) {
			c.Change = backend.UNetChange{BlurredRows: 1, BlurredLayers: blocks, BlurSigma: math.NaN()}
		},
	}
	if features {
		f, err := model.(backend.FeatureModel).NewFeatures(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, f.Close()) })
		edits["beside features"] = func(c *call) {
			c.Kept = backend.Kept{Features: f, Keep: backend.KeepTextAttention, Use: backend.FeaturesStore}
			c.Change = backend.UNetChange{FreeU: [4]float64{0.9, 0.2, 1.3, 1.4}}
		}
	}
	requireRefusals(t, func() (c call) {
		c.UNetInput, c.out = unetInput(model.Info(), 2, 4, 4)
		c.Change = backend.UNetChange{IdentityRows: 1, IdentityLayers: blocks}
		return c
	}, func(c call) error { return model.UNet(t.Context(), c.UNetInput, c.out) }, edits)
}
