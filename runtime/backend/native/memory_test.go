package native

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

func TestMemoryOfAModel(t *testing.T) {
	var text bytes.Buffer
	b := fakeBackend(t, slog.New(slog.NewTextHandler(&text, nil)))
	m, err := b.Open(t.Context(), backend.ModelConfig{Files: backend.Files{Model: "m"}, TextResidency: backend.ResidencyOnDemand,
		UNetResidency: backend.ResidencyStream, VAEResidency: backend.ResidencyMmap, StreamBytes: 1 << 33, AttentionSlicing: true,
		Convolution: "direct"})
	require.NoError(t, err)
	require.Contains(t, text.String(), "residency=1,2,3 stream=8589934592 attention=67108864 convolution=2")
	c := m.Info().Components[1]
	require.Equal(t, []any{true, false, backend.ResidencyOnDemand, int64(11), int64(7)},
		[]any{c.Opened, c.Loaded, c.Residency, c.ResidentBytes, c.MappedBytes})
	require.NoError(t, m.Load(t.Context(), "text_encoder_2", "unet"))
	c = m.Info().Components[1]
	require.Equal(t, []any{true, int64(202 + 11)}, []any{c.Loaded, c.ResidentBytes})
	stats := m.MemoryStats()
	require.Equal(t, backend.ComponentMemory{Name: "unet", Loaded: true, Weights: 204, WeightsPeak: 302, Host: 12, HostPeak: 22, Mapped: 14},
		stats.Components[2])
	require.Equal(t, []int64{1, 3, 4, 202 + 204 + 60 + 3, 1000},
		[]int64{stats.ComputePeak, stats.Adapters, stats.AdaptersPeak, stats.Total, stats.TotalPeak})
	m.ResetMemoryPeaks()
	require.Zero(t, m.MemoryStats().TotalPeak)
	require.NoError(t, m.Unload())
	require.False(t, m.Info().Components[1].Loaded)
	require.ErrorContains(t, m.Load(t.Context(), "upscaler"), "has no upscaler")
	require.ErrorContains(t, m.Unload("lens"), `components: "lens" is unknown; known are text_encoder`)

	_, err = b.FailAllocations(1, 1, 0)
	require.NoError(t, err)
	err = m.Load(t.Context())
	require.ErrorIs(t, err, backend.ErrOutOfMemory)
	require.NotErrorIs(t, m.Unload("lens"), backend.ErrOutOfMemory)
	_, err = b.FailAllocations(0, -1, 0)
	require.ErrorIs(t, err, backend.ErrArgument)
	require.NoError(t, m.Close())
	require.Zero(t, m.MemoryStats().Total)
	require.False(t, m.Info().Components[0].Loaded)
}

func TestMemoryConfigurationIsChecked(t *testing.T) {
	b := fakeBackend(t, nil)
	files := backend.Files{Model: "m"}
	for says, cfg := range map[string]backend.ModelConfig{
		`text residency: "cloud" is unknown; known are resident, on_demand, stream, mmap`: {Files: files, TextResidency: "cloud"},
		"unet residency":               {Files: files, UNetResidency: "x"},
		"vae residency":                {Files: files, VAEResidency: "x"},
		"stream_bytes: -1 is negative": {Files: files, StreamBytes: -1},
	} {
		_, err := b.Open(t.Context(), cfg)
		require.ErrorIs(t, err, backend.ErrArgument)
		require.ErrorContains(t, err, says)
	}
}
