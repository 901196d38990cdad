package fake

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// TestControlXS: a ControlNet-XS embeds a picture, and takes part in an evaluation of the UNet, which refuses other hints and other
// nets. It is not evaluated by itself.
func TestControlXS(t *testing.T) {
	b := &Backend{}
	net, err := b.Open(t.Context(), backend.ModelConfig{Files: backend.Files{ControlNet: "control-xs"}})
	require.NoError(t, err)
	defer net.Close()
	other, err := b.Open(t.Context(), backend.ModelConfig{Files: backend.Files{ControlNet: "canny"}})
	require.NoError(t, err)
	defer other.Close()
	m := open(t, b)
	require.True(t, net.Info().Control.IsXS())
	hint, err := net.EncodeHint(t.Context(), pattern(1, 3, 32, 48))
	require.NoError(t, err)
	require.Equal(t, []int{1, net.Info().Control.XSChannels, 4, 6}, hint.Shape)

	run := func(x backend.XS) ([]float32, error) {
		in, out := unetInput(2, 4), make([]float32, 2*4*4*6)
		in.XS = x
		return out, m.UNet(t.Context(), in, out)
	}
	without, err := run(backend.XS{})
	require.NoError(t, err)
	with, err := run(backend.XS{Net: net, Hint: hint, Scale: 0.5})
	require.NoError(t, err)
	assert.NotEqual(t, without, with)
	small := backend.Tensor{Shape: []int{1, 4, 4, 5}, Data: hint.Data[:80]}
	for name, x := range map[string]backend.XS{"another net": {Net: other, Hint: hint, Scale: 1},
		"a small hint": {Net: net, Hint: small, Scale: 1}, "no hint": {Net: net, Scale: 1}, "no net": {Hint: hint, Scale: 1}} {
		_, err := run(x)
		require.ErrorIs(t, err, backend.ErrArgument, name)
	}
	require.ErrorIs(t, net.ControlNet(t.Context(), backend.ControlInput{}, nil), backend.ErrUnsupported)
}
