package backendtest

import (
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// unet: the same inputs make the same bits, and a row depends on nothing in other rows, nor on how many there are.
func unet(t tester, m Models) {
	model := open(t, m.Backend, m.Base)
	const n, h, w = 3, 8, 6
	in, all := unetInput(model.Info(), n, h, w)
	require.NoError(t, model.UNet(t.Context(), in, all))
	requireNumbers(t, all)
	same, _ := unetInput(model.Info(), n, h, w)
	require.Equal(t, same, in, "the inputs are read only")
	again := make([]float32, len(all))
	require.NoError(t, model.UNet(t.Context(), in, again))
	require.Equal(t, all, again)

	size := len(all) / n
	for i := range n {
		one := make([]float32, size)
		require.NoError(t, model.UNet(t.Context(), backend.UNetInput{Sample: rows(in.Sample, i, 1), Timesteps: in.Timesteps[i : i+1],
			Context: rows(in.Context, i, 1), Pooled: rows(in.Pooled, i, 1), SizeIDs: rows(in.SizeIDs, i, 1)}, one))
		requireNear(t, all[i*size:(i+1)*size], one, "a row by itself")
	}
	for name, edit := range map[string]func(in *backend.UNetInput){
		"sample":   func(in *backend.UNetInput) { in.Sample.Data[len(in.Sample.Data)-1]++ },
		"timestep": func(in *backend.UNetInput) { in.Timesteps[n-1] = 900 },
		"context":  func(in *backend.UNetInput) { in.Context.Data[len(in.Context.Data)-1]++ },
		"pooled":   func(in *backend.UNetInput) { in.Pooled.Data[len(in.Pooled.Data)-1]++ },
		"size ids": func(in *backend.UNetInput) { in.SizeIDs.Data[len(in.SizeIDs.Data)-1] += 500 },
	} {
		in, out := unetInput(model.Info(), n, h, w)
		edit(&in)
		require.NoError(t, model.UNet(t.Context(), in, out))
		requireNear(t, all[:2*size], out[:2*size], name+" of another row")
		require.NotEqual(t, all[2*size:], out[2*size:], name)
	}
	twice := in // two chunks of text
	twice.Context = values(2, n, 154, model.Info().UNet.ContextDim)
	require.NoError(t, model.UNet(t.Context(), twice, again))
	require.NotEqual(t, all, again)
}

// unetResiduals: a ControlNet's values change the rows that they are for.
func unetResiduals(t tester, m Models) {
	model := open(t, m.Backend, m.Base)
	const n, h, w = 2, 8, 8
	in, plain := unetInput(model.Info(), n, h, w)
	require.NoError(t, model.UNet(t.Context(), in, plain))
	u := model.Info().UNet
	out := make([]float32, len(plain))
	in.Residuals = make([]float32, u.ResidualCount(n, h, w))
	require.NoError(t, model.UNet(t.Context(), in, out))
	require.Equal(t, plain, out, "zeros change nothing")
	middle := u.ResidualShapes(h, w)
	last := middle[len(middle)-1]
	for i := range last[0] * last[1] * last[2] {
		in.Residuals[len(in.Residuals)-1-i] = float32(i%5) - 1
	}
	require.NoError(t, model.UNet(t.Context(), in, out))
	requireNear(t, plain[:len(plain)/n], out[:len(plain)/n], "another row")
	require.NotEqual(t, plain[len(plain)/n:], out[len(plain)/n:])
}

func unetRefuses(t tester, m Models) {
	model := open(t, m.Backend, m.Base)
	type call struct {
		backend.UNetInput
		out []float32
	}
	u := model.Info().UNet
	requireRefusals(t, func() (c call) {
		c.UNetInput, c.out = unetInput(model.Info(), 2, 4, 4)
		return c
	}, func(c call) error { return model.UNet(t.Context(), c.UNetInput, c.out) }, map[string]func(*call){
		"no sample":     func(c *call) { c.Sample = backend.Tensor{} },
		"dimensions":    func(c *call) { c.Sample.Shape = slices.Clone(c.Sample.Shape[1:]) },
		"channels":      func(c *call) { c.Sample = values(1, 2, u.InChannels+1, 4, 4) },
		"no batch":      func(c *call) { c.Sample = backend.NewTensor(0, u.InChannels, 4, 4) },
		"negative size": func(c *call) { c.Sample.Shape[2] = -4 },
		"overflow":      func(c *call) { c.Sample.Shape = []int{1 << 40, u.InChannels, 1 << 20, 4} },
		"short data":    func(c *call) { c.Sample.Data = c.Sample.Data[1:] },
		"timesteps":     func(c *call) { c.Timesteps = c.Timesteps[:1] },
		"context batch": func(c *call) { c.Context = values(1, 1, 77, u.ContextDim) },
		"no tokens":     func(c *call) { c.Context = backend.NewTensor(2, 0, u.ContextDim) },
		"context width": func(c *call) { c.Context = values(1, 2, 77, u.ContextDim+1) },
		"pooled":        func(c *call) { c.Pooled = values(1, 2, u.PooledDim+1) },
		"size ids":      func(c *call) { c.SizeIDs = backend.Tensor{} },
		"residuals":     func(c *call) { c.Residuals = make([]float32, 1) },
		"out":           func(c *call) { c.out = c.out[1:] },
	})
}
