package fake

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

const allWeights = 27500

func TestMemoryFollowsResidency(t *testing.T) {
	b := &Backend{}
	m := open(t, b)
	assert.EqualValues(t, allWeights, m.MemoryStats().Total)
	require.NoError(t, m.Close())
	assert.Zero(t, m.MemoryStats().Total)

	m, err := b.Open(t.Context(), backend.ModelConfig{TextResidency: backend.ResidencyOnDemand, UNetResidency: backend.ResidencyStream,
		VAEResidency: backend.ResidencyMmap, StreamBytes: 4000})
	require.NoError(t, err)
	assert.Zero(t, m.MemoryStats().Total)
	want := make([]float32, 2*4*4*6)
	require.NoError(t, m.UNet(t.Context(), unetInput(2, 4), want))
	info := m.Info().Components[2]
	assert.Equal(t, []any{true, int64(4000), backend.ResidencyStream}, []any{info.Loaded, info.ResidentBytes, info.Residency})
	stats := m.MemoryStats()
	assert.Positive(t, stats.Compute)
	assert.Equal(t, stats.Compute+4000, stats.Total)
	require.NoError(t, m.Load(t.Context(), "vae_encoder"))
	info = m.Info().Components[3]
	assert.Equal(t, []any{true, int64(100), int64(100)}, []any{info.Loaded, info.ResidentBytes, info.MappedBytes})
	require.NoError(t, m.Unload())
	after := m.MemoryStats()
	assert.Zero(t, after.Total)
	assert.Equal(t, stats.Total+100, after.TotalPeak)
	m.ResetMemoryPeaks()
	assert.Zero(t, m.MemoryStats().TotalPeak)
	got := make([]float32, len(want))
	require.NoError(t, m.UNet(t.Context(), unetInput(2, 4), got))
	assert.Equal(t, want, got)
	assert.Equal(t, Call{Op: OpLoad, Kind: backend.KindSDXLBase, Components: "vae_encoder"}, b.Calls()[3])

	_, err = b.Open(t.Context(), backend.ModelConfig{UNetResidency: backend.ResidencyStream, StreamBytes: 10})
	require.ErrorContains(t, err, "largest layer of the unet, 2000")
}

func TestAllocationsFailAndTheModelStaysUsable(t *testing.T) {
	b := &Backend{}
	m := open(t, b)
	out := make([]float32, 2*4*4*6)
	n, err := b.FailAllocations(1, 1, 0)
	require.NoError(t, err)
	assert.EqualValues(t, 5, n, "the weights")
	_, err = b.FailAllocations(7, 0.3, 0)
	require.NoError(t, err)
	failed := 0
	for range 1000 {
		require.NoError(t, m.ReleaseCompute())
		if err := m.UNet(context.Background(), unetInput(2, 4), out); err != nil {
			failed++
		}
	}
	assert.InDelta(t, 300, failed, 60)
}

func TestMemoryLimit(t *testing.T) {
	b := &Backend{MemoryLimit: allWeights + 10000}
	m := open(t, b)
	in := unetInput(1, 4)
	require.NoError(t, m.UNet(t.Context(), in, make([]float32, 4*4*6)))
	in = unetInput(3, 4)
	require.ErrorIs(t, m.UNet(t.Context(), in, make([]float32, 3*4*4*6)), backend.ErrOutOfMemory)
	_, err := (&Backend{MemoryLimit: 100}).Open(t.Context(), backend.ModelConfig{})
	require.ErrorIs(t, err, backend.ErrOutOfMemory)
}
