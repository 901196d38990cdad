package fake

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// TestT2IAdapter: an adapter makes features of a picture, which the UNet takes for all rows or for each, and refuses in other numbers. It
// is not evaluated in the steps.
func TestT2IAdapter(t *testing.T) {
	b := &Backend{}
	net, err := b.Open(t.Context(), backend.ModelConfig{Files: backend.Files{ControlNet: "t2i"}})
	require.NoError(t, err)
	defer net.Close()
	m := open(t, b)
	u := m.Info().UNet
	require.Equal(t, net.Info().Control.FeatureShapes(32, 48), u.BlockShapes(4, 6))
	features, err := net.EncodeHint(t.Context(), pattern(1, 3, 32, 48))
	require.NoError(t, err)
	require.Equal(t, []int{1, u.BlockCount(4, 6)}, features.Shape)

	run := func(blocks []float32, rows int) ([]float32, error) {
		in, out := unetInput(2, 4), make([]float32, 2*4*4*6)
		in.Blocks, in.BlockRows = blocks, rows
		return out, m.UNet(t.Context(), in, out)
	}
	without, err := run(nil, 0)
	require.NoError(t, err)
	shared, err := run(features.Data, 1)
	require.NoError(t, err)
	assert.NotEqual(t, without, shared)
	var each []float32
	at := 0
	for _, s := range u.BlockShapes(4, 6) {
		block := features.Data[at : at+s[0]*s[1]*s[2]]
		each = append(append(each, block...), block...)
		at += len(block)
	}
	own, err := run(each, 2)
	require.NoError(t, err)
	assert.Equal(t, shared, own)
	for name, c := range map[string]struct {
		blocks []float32
		rows   int
	}{"few values": {features.Data[1:], 1}, "rows": {each, 3}, "no rows": {each, 0}} {
		_, err := run(c.blocks, c.rows)
		require.ErrorIs(t, err, backend.ErrArgument, name)
	}
	require.ErrorIs(t, net.ControlNet(t.Context(), backend.ControlInput{}, nil), backend.ErrUnsupported)
}
