package backendtest

import (
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// loading: weights come at the first use or by Load, and go with Unload. What is computed does not depend on it.
func loading(t tester, m Models) {
	want := evaluate(t, open(t, m.Backend, m.Base))
	model := open(t, m.Backend, onDemand(m.Base))
	loaded := func() (names []string) {
		for _, c := range model.MemoryStats().Components {
			require.Equal(t, c.Loaded, c.Weights+c.Host+c.Mapped > 0, c.Name)
			if c.Loaded {
				names = append(names, c.Name)
			}
		}
		return names
	}
	require.Zero(t, model.MemoryStats().Total)
	require.Empty(t, loaded())
	require.Equal(t, want, evaluate(t, model), "on demand")
	require.Equal(t, []string{"unet"}, loaded())
	require.NoError(t, model.Load(t.Context(), "vae_decoder", "text_encoder"))
	require.Equal(t, []string{"text_encoder", "unet", "vae_decoder"}, loaded())
	require.NoError(t, model.Unload("unet"))
	require.Equal(t, []string{"text_encoder", "vae_decoder"}, loaded())
	require.Zero(t, model.MemoryStats().Compute)
	require.Equal(t, want, evaluate(t, model), "after Unload")
	require.NoError(t, model.Load(t.Context()))
	require.Len(t, loaded(), 5)
	require.NoError(t, model.Load(t.Context()), "twice")
	require.NoError(t, model.Unload())
	require.NoError(t, model.Unload(), "twice")
	require.Empty(t, loaded())
	require.Zero(t, model.MemoryStats().Total)
	for _, c := range model.Info().Components {
		require.False(t, c.Loaded, c.Name)
		require.Equal(t, backend.ResidencyOnDemand, c.Residency)
	}
}

// memoryStats: the sum is of all parts, peaks stay until they are set back.
func memoryStats(t tester, m Models) {
	model := open(t, m.Backend, m.Base)
	evaluate(t, model)
	check := func() backend.MemoryStats {
		s := model.MemoryStats()
		sum := s.Compute + s.Adapters
		for _, c := range s.Components {
			sum += c.Weights + c.Host
			require.GreaterOrEqual(t, c.WeightsPeak, c.Weights, c.Name)
			require.GreaterOrEqual(t, c.HostPeak, c.Host, c.Name)
		}
		require.Equal(t, sum, s.Total)
		require.GreaterOrEqual(t, s.ComputePeak, s.Compute)
		require.GreaterOrEqual(t, s.AdaptersPeak, s.Adapters)
		require.GreaterOrEqual(t, s.TotalPeak, s.Total)
		return s
	}
	full := check()
	require.Positive(t, full.Compute)
	require.NoError(t, model.ReleaseCompute())
	released := check()
	require.Zero(t, released.Compute)
	require.Equal(t, full.Total-full.Compute, released.Total)
	require.Equal(t, full.TotalPeak, released.TotalPeak)
	require.NoError(t, model.Unload())
	empty := check()
	require.Zero(t, empty.Total)
	require.Equal(t, full.TotalPeak, empty.TotalPeak)
	model.ResetMemoryPeaks()
	empty = check()
	require.Zero(t, empty.TotalPeak+empty.ComputePeak)
	for _, c := range empty.Components {
		require.Zero(t, c.WeightsPeak+c.HostPeak, c.Name)
	}
	evaluate(t, model)
	require.Positive(t, check().TotalPeak)
	empty.Components[0].Name = "edited" // the caller's
	require.NotEqual(t, "edited", model.MemoryStats().Components[0].Name)
}

// computeBytes: every stage takes exactly what was measured before, measuring loads nothing, and more takes more.
func computeBytes(t tester, m Models) {
	model := open(t, m.Backend, onDemand(m.Base))
	info, ctx := model.Info(), t.Context()
	ids := [][]int32{chunk(1), chunk(2)}
	measured := map[string]bool{}
	for name, c := range map[string]struct {
		query backend.ComputeQuery
		run   func() error
	}{
		"text": {backend.ComputeQuery{Stage: backend.StageText, Batch: 2}, func() error {
			_, err := model.EncodeText(ctx, backend.TextInput{IDs: ids})
			return err
		}},
		"text 2": {backend.ComputeQuery{Stage: backend.StageText2, Batch: 2}, func() error {
			_, err := model.EncodeText(ctx, backend.TextInput{Encoder: 1, IDs: ids})
			return err
		}},
		"unet": {backend.ComputeQuery{Stage: backend.StageUNet, Batch: 2, Height: 8, Width: 6, ContextTokens: 77}, func() error {
			in, out := unetInput(info, 2, 8, 6)
			return model.UNet(ctx, in, out)
		}},
		"encode": {backend.ComputeQuery{Stage: backend.StageVAEEncode, Batch: 2, Height: 32, Width: 48}, func() error {
			_, err := model.EncodeImage(ctx, values(1, 2, 3, 32, 48))
			return err
		}},
		"decode": {backend.ComputeQuery{Stage: backend.StageVAEDecode, Batch: 2, Height: 4, Width: 6}, func() error {
			_, err := model.DecodeLatents(ctx, values(1, 2, info.VAE.LatentChannels, 4, 6))
			return err
		}},
	} {
		require.NoError(t, model.Unload())
		model.ResetMemoryPeaks()
		bytes, err := model.ComputeBytes(c.query)
		require.NoError(t, err, name)
		require.Positive(t, bytes, name)
		require.Zero(t, model.MemoryStats().TotalPeak, "%s: measuring takes nothing", name)
		require.NoError(t, c.run(), name)
		require.Equal(t, bytes, model.MemoryStats().Compute, name)
		c.query.Batch *= 4
		more, err := model.ComputeBytes(c.query)
		require.NoError(t, err, name)
		require.Greater(t, more, bytes, "%s: a larger batch", name)
		if lanes, ok := model.(backend.Laned); ok {
			n, err := lanes.ComputeLanes(c.query)
			require.NoError(t, err, name)
			require.True(t, n >= 1 && n <= c.query.Batch, "%s: %d lanes", name, n)
		}
		measured[name] = true
	}
	require.Len(t, measured, 5)
}

func computeBytesRefuses(t tester, m Models) {
	model := open(t, m.Backend, m.Base)
	requireRefusals(t, func() backend.ComputeQuery {
		return backend.ComputeQuery{Stage: backend.StageUNet, Batch: 1, Height: 8, Width: 8, ContextTokens: 77}
	}, func(q backend.ComputeQuery) error {
		_, err := model.ComputeBytes(q)
		return err
	}, map[string]func(*backend.ComputeQuery){
		"stage":  func(q *backend.ComputeQuery) { q.Stage = 99 },
		"batch":  func(q *backend.ComputeQuery) { q.Batch = 0 },
		"height": func(q *backend.ComputeQuery) { q.Height = -1 },
		"width":  func(q *backend.ComputeQuery) { q.Width = 0 },
		"tokens": func(q *backend.ComputeQuery) { q.ContextTokens = 0 },
	})
}

// outOfMemory: for backends whose allocations can be made to fail, it is one error, and the model stays usable.
func outOfMemory(t tester, m Models) {
	failer, ok := m.Backend.(backend.AllocationFailer)
	if !ok {
		return
	}
	fail := func(probability float64, after int64) int64 {
		n, err := failer.FailAllocations(1, probability, after)
		require.NoError(t, err)
		return n
	}
	t.Cleanup(func() { fail(0, 0) })
	model := open(t, m.Backend, onDemand(m.Base))
	fail(0, 0)
	want := evaluate(t, model)
	n := fail(0, 0)
	require.GreaterOrEqual(t, n, int64(2), "weights and a compute buffer")
	in, out := unetInput(model.Info(), 2, 8, 8)
	for i := range n {
		require.NoError(t, model.Unload())
		fail(1, i)
		require.ErrorIs(t, model.UNet(t.Context(), in, out), backend.ErrOutOfMemory, "allocation %d", i)
		require.Zero(t, model.MemoryStats().Compute)
		fail(0, 0)
		require.Equal(t, want, evaluate(t, model))
	}
	if adapted, ok := model.(backend.LoRAModel); ok {
		fail(1, 0)
		_, err := adapted.LoadLoRA(t.Context(), linears(adapted, "unet", 1))
		require.ErrorIs(t, err, backend.ErrOutOfMemory)
	}
	fail(1, 0)
	_, err := m.Backend.Open(t.Context(), m.Base)
	require.ErrorIs(t, err, backend.ErrOutOfMemory)
	_, err = failer.FailAllocations(0, -1, 0)
	require.ErrorIs(t, err, backend.ErrArgument)
	fail(0, 0)
	require.Equal(t, want, evaluate(t, model))
}
