package bindings

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTrial(t *testing.T) {
	lib := fake(t)
	values := make([]float32, 3)
	seconds, err := lib.RunTrial("cuda:0", Trial{Kind: 1, Convolution: 2, Batch: 7, Repeats: 4}, values)
	require.NoError(t, err)
	require.Equal(t, 2.0, seconds)
	require.Equal(t, []float32{107, 107, 107}, values)
	seconds, err = lib.RunTrial("cuda:1", Trial{Convolution: 1, Repeats: 4}, nil)
	require.NoError(t, err)
	require.Equal(t, 4.0, seconds)
	_, err = lib.RunTrial("cuda:1", Trial{Convolution: 2}, nil)
	require.ErrorIs(t, err, ErrUnsupported)
	_, err = lib.RunTrial("a\x00b", Trial{}, nil)
	require.ErrorIs(t, err, ErrArgument)
}

func TestNodesAndTransfers(t *testing.T) {
	m := openFake(t, fake(t))
	nodes, err := m.ComputeNodes(ComputeQuery{Stage: 2, Batch: 3})
	require.NoError(t, err)
	require.Len(t, nodes, 2)
	n := nodes[1]
	require.Equal(t, []any{"CONV_2D", "f16 f32 -> f32", "stage 2", int32(0), int64(3), int64(1000)},
		[]any{n.Op.String(), n.Operands.String(), n.Example.String(), n.Supported, n.Count, n.LargestBytes})
	got, err := m.Transfers()
	require.NoError(t, err)
	got.StructSize = 0
	require.Equal(t, transferInfo{Runs: 1, Uploads: 2, UploadBytes: 3, Downloads: 4, DownloadBytes: 5, PinnedBytes: 6}, got)
}

func TestDeviceLimits(t *testing.T) {
	lib := fake(t, "FAKE_DEVICES=2")
	d, err := lib.Device(1)
	require.NoError(t, err)
	require.Equal(t, []any{"fake driver 1", int64(500), int64(600)}, []any{d.Driver.String(), d.MaxTensorBytes, d.MaxBufferBytes})
}
