package bindings

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLoadUnloadAndMemory(t *testing.T) {
	const unet = 4
	lib := fake(t)
	m, err := lib.OpenModel(ModelParams{Files: []File{{Path: "m"}}, ResidencyUNet: 1, ResidencyVAE: 3})
	require.NoError(t, err)
	held, err := m.Memory()
	require.NoError(t, err)
	require.Equal(t, int32(1|2), held.Loaded)
	require.Equal(t, [ComponentCount]int64{200, 202}, held.Weights)
	require.Equal(t, [ComponentCount]int64{300, 301, 302, 303, 304}, held.WeightsPeak)
	require.Equal(t, [ComponentCount]int64{10, 11, 12, 13, 14}, held.Host)
	require.Equal(t, [ComponentCount]int64{20, 21, 22, 23, 24}, held.HostPeak)
	require.Equal(t, [ComponentCount]int64{0, 7, 14, 21, 28}, held.Mapped)
	require.Equal(t, []int64{0, 1, 3, 4, 402 + 60 + 3, 0}, []int64{held.Compute, held.ComputePeak, held.Adapters, held.AdaptersPeak,
		held.Total, held.TotalPeak})

	require.NoError(t, m.Load(unet))
	held, _ = m.Memory()
	require.Equal(t, int32(1|2|4), held.Loaded)
	require.EqualValues(t, 1000, held.TotalPeak)
	require.NoError(t, m.ResetPeaks())
	require.NoError(t, m.Unload(unet|1))
	held, _ = m.Memory()
	require.Equal(t, int32(2), held.Loaded)
	require.Zero(t, held.TotalPeak)
	require.ErrorIs(t, m.Load(0), ErrArgument)

	require.NoError(t, m.Close())
	_, err = m.Memory()
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, m.ResetPeaks(), ErrClosed)
	require.ErrorIs(t, m.Load(unet), ErrClosed)
}

func TestFailAllocations(t *testing.T) {
	const unet = 4
	lib := fake(t)
	m, err := lib.OpenModel(ModelParams{Files: []File{{Path: "m"}}})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	_, err = lib.FailAllocations(1, 1, 2)
	require.NoError(t, err)
	require.NoError(t, m.Load(unet))
	require.NoError(t, m.Load(unet))
	require.ErrorIs(t, m.Load(unet), ErrOutOfMemory)
	n, err := lib.FailAllocations(0, 0, 0)
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
	require.NoError(t, m.Load(unet))
	_, err = lib.FailAllocations(0, 2, 0)
	require.ErrorIs(t, err, ErrArgument)
}
