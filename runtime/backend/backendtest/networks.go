package backendtest

import (
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// controlInput returns the inputs of a ControlNet's evaluation, each residual scaled by 1.
func controlInput(t tester, m backend.Model, n, h, w int) backend.ControlInput {
	t.Helper()
	in, _ := unetInput(m.Info(), n, h, w)
	hint, err := m.EncodeHint(t.Context(), values(5, 1, 3, 8*h, 8*w))
	require.NoError(t, err)
	require.Equal(t, []int{1, m.Info().UNet.ModelChannels, h, w}, hint.Shape)
	return backend.ControlInput{Sample: in.Sample, Timesteps: in.Timesteps, Context: in.Context, Pooled: in.Pooled, SizeIDs: in.SizeIDs,
		Hint: hint, Scales: slices.Repeat([]float32{1}, len(m.Info().UNet.ResidualShapes(h, w)))}
}

// controlNet: what it computes is added, scaled, to the rows that are asked for and to no others.
func controlNet(t tester, m Models) {
	if m.ControlNet.Files.ControlNet == "" {
		return
	}
	model := open(t, m.Backend, m.ControlNet)
	info := model.Info()
	require.Equal(t, backend.KindControlNet, info.Kind)
	require.Zero(t, info.UNet.OutChannels)
	base := open(t, m.Backend, m.Base)
	const n, h, w = 2, 8, 8
	require.Equal(t, base.Info().UNet.ResidualShapes(h, w), info.UNet.ResidualShapes(h, w))
	u := info.UNet
	in := controlInput(t, model, n, h, w)
	run := func(in backend.ControlInput, residuals []float32) []float32 {
		require.NoError(t, model.ControlNet(t.Context(), in, residuals))
		return residuals
	}
	once := run(in, make([]float32, u.ResidualCount(n, h, w)))
	requireNumbers(t, once)
	doubled := make([]float32, len(once))
	for i, v := range once {
		doubled[i] = 2 * v
	}
	require.Equal(t, doubled, run(in, slices.Clone(once)), "added twice")

	scaled := in
	scaled.Scales = slices.Repeat([]float32{0.5}, len(in.Scales))
	requireNear(t, once, run(scaled, run(scaled, make([]float32, len(once)))), "two halves")
	scaled.Scales = make([]float32, len(in.Scales))
	require.Equal(t, once, run(scaled, slices.Clone(once)), "scales of 0")

	// Two more rows round those of the call, and then each row by a call of its own.
	wide, each := in, make([]float32, u.ResidualCount(n+2, h, w))
	wide.Rows, wide.FirstRow = n+2, 1
	together := run(wide, make([]float32, len(each)))
	for i := range n {
		one := in
		one.Sample, one.Timesteps, one.Context = rows(in.Sample, i, 1), in.Timesteps[i:i+1], rows(in.Context, i, 1)
		one.Pooled, one.SizeIDs, one.Rows, one.FirstRow = rows(in.Pooled, i, 1), rows(in.SizeIDs, i, 1), n+2, 1+i
		run(one, each)
	}
	requireNear(t, together, each, "row by row")
	at, from := 0, 0
	for _, s := range u.ResidualShapes(h, w) {
		size := s[0] * s[1] * s[2]
		require.Equal(t, make([]float32, size), together[at:at+size], "the row before")
		require.Equal(t, once[from:from+n*size], together[at+size:at+(1+n)*size], "the rows of the call")
		require.Equal(t, make([]float32, size), together[at+(1+n)*size:at+(2+n)*size], "the row after")
		at, from = at+(2+n)*size, from+n*size
	}
	other := in
	other.Hint = values(6, n, u.ModelChannels, h, w)
	require.NotEqual(t, once, run(other, make([]float32, len(once))), "another picture, one for each row")
}

func controlNetRefuses(t tester, m Models) {
	if m.ControlNet.Files.ControlNet == "" {
		return
	}
	model := open(t, m.Backend, m.ControlNet)
	type call struct {
		backend.ControlInput
		residuals []float32
	}
	info := model.Info()
	u := info.UNet
	requireRefusals(t, func() call {
		return call{controlInput(t, model, 2, 4, 4), make([]float32, u.ResidualCount(2, 4, 4))}
	}, func(c call) error { return model.ControlNet(t.Context(), c.ControlInput, c.residuals) }, map[string]func(*call){
		"sample":       func(c *call) { c.Sample = values(1, 2, u.InChannels+1, 4, 4) },
		"timesteps":    func(c *call) { c.Timesteps = nil },
		"context":      func(c *call) { c.Context = values(1, 1, 77, u.ContextDim) },
		"pooled":       func(c *call) { c.Pooled = backend.Tensor{} },
		"size ids":     func(c *call) { c.SizeIDs = values(1, 2, u.SizeIDs+1) },
		"hint size":    func(c *call) { c.Hint = values(1, 2, u.ModelChannels, 4, 5) },
		"hint batch":   func(c *call) { c.Hint = values(1, 3, u.ModelChannels, 4, 4) },
		"scales":       func(c *call) { c.Scales = c.Scales[1:] },
		"type":         func(c *call) { c.Type = max(info.Control.Types, 1) },
		"first row":    func(c *call) { c.FirstRow = 1 },
		"negative row": func(c *call) { c.FirstRow = -1 },
		"few rows":     func(c *call) { c.Rows = 1 },
		"residuals":    func(c *call) { c.residuals = c.residuals[1:] },
	})
	requireRefusals(t, func() backend.Tensor { return values(1, 1, 3, 16, 16) }, func(x backend.Tensor) error {
		_, err := model.EncodeHint(t.Context(), x)
		return err
	}, map[string]func(*backend.Tensor){
		"width":    func(x *backend.Tensor) { *x = values(1, 1, 3, 16, 12) },
		"channels": func(x *backend.Tensor) { *x = values(1, 1, 1, 16, 16) },
	})
	in, out := unetInput(info, 1, 4, 4)
	require.ErrorIs(t, model.UNet(t.Context(), in, out), backend.ErrUnsupported)
}

// upscale: the scale that the model reports, and pictures that do not depend on each other.
func upscale(t tester, m Models) {
	if m.Upscaler.Files.Upscaler == "" {
		return
	}
	model := open(t, m.Backend, m.Upscaler)
	u := model.Info().Upscaler
	require.Greater(t, u.Scale, 1)
	h, w := 4*max(u.Multiple, 1), 6*max(u.Multiple, 1)
	pixels := values(1, 2, 3, h, w)
	out, err := model.Upscale(t.Context(), pixels)
	require.NoError(t, err)
	require.Equal(t, []int{2, 3, u.Scale * h, u.Scale * w}, out.Shape)
	requireNumbers(t, out.Data)
	one, err := model.Upscale(t.Context(), rows(pixels, 1, 1))
	require.NoError(t, err)
	requireNear(t, rows(out, 1, 1).Data, one.Data, "a picture by itself")
	_, err = model.Upscale(t.Context(), values(1, 1, 4, h, w))
	require.ErrorIs(t, err, backend.ErrArgument)
	_, err = model.DecodeLatents(t.Context(), values(1, 1, 4, 4, 4))
	require.ErrorIs(t, err, backend.ErrUnsupported)
}

// detect: the shape follows from the dimensions, and pictures do not depend on each other.
func detect(t tester, m Models) {
	if m.Detector.Files.Detector == "" {
		return
	}
	model := open(t, m.Backend, m.Detector)
	d := model.Info().Detector
	require.Positive(t, d.Classes)
	require.Positive(t, d.Bins)
	require.Positive(t, d.Multiple)
	h, w := 2*d.Multiple, 3*d.Multiple
	pixels := values(1, 2, 3, h, w)
	out, err := model.Detect(t.Context(), pixels)
	require.NoError(t, err)
	require.Equal(t, []int{2, 4*d.Bins + d.Classes, d.Anchors(h, w)}, out.Shape)
	requireNumbers(t, out.Data)
	one, err := model.Detect(t.Context(), rows(pixels, 1, 1))
	require.NoError(t, err)
	requireNear(t, rows(out, 1, 1).Data, one.Data, "a picture by itself")
	_, err = model.Detect(t.Context(), values(1, 1, 3, h+1, w))
	require.ErrorIs(t, err, backend.ErrArgument)
	_, err = model.Upscale(t.Context(), values(1, 1, 3, h, w))
	require.ErrorIs(t, err, backend.ErrUnsupported)
}
