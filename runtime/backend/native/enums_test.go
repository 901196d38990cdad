package native

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// bothWays checks every pair in both directions, and that names and numbers occur once.
func bothWays[G ~string, C ~int32](t *testing.T, p pairs[G, C], count int) {
	t.Helper()
	require.Len(t, p, count)
	names, values := map[G]bool{}, map[C]bool{}
	for _, pair := range p {
		require.False(t, names[pair.name], pair.name)
		require.False(t, values[pair.value], pair.value)
		names[pair.name], values[pair.value] = true, true
		value, err := p.toABI(OpOpen, "field", pair.name)
		require.NoError(t, err)
		require.Equal(t, pair.value, value)
		require.Equal(t, pair.name, p.toGo(pair.value))
	}
	for i := range count { // the ABI's enums begin at 0 and have no holes
		require.True(t, values[C(i)], i)
	}
	_, err := p.toABI(OpOpen, "the field", "nonsense")
	require.ErrorIs(t, err, backend.ErrArgument)
	require.ErrorContains(t, err, `opening the model: the field: "nonsense" is unknown; known are `)
	require.Equal(t, G("unknown (99)"), p.toGo(99))
	value, err := p.toABI(OpOpen, "field", "")
	require.NoError(t, err)
	require.Zero(t, value)
}

func TestEveryEnumValueBothWays(t *testing.T) {
	bothWays(t, types, bindings.TypeCount)
	bothWays(t, precisions, len(backend.Precisions))
	bothWays(t, kinds, 9)
	bothWays(t, deviceKinds, 4)
	bothWays(t, flashes, 3)
	bothWays(t, activations, 3)
}

func TestEveryNameOfTheInterfaceIsMapped(t *testing.T) {
	require.Len(t, backend.Types, bindings.TypeCount)
	for _, name := range backend.Types {
		value, err := types.toABI(OpOpen, "type", name)
		require.NoError(t, err)
		require.Equal(t, name, types.toGo(value))
	}
	for _, name := range backend.Precisions {
		value, err := precisions.toABI(OpOpen, "precision", name)
		require.NoError(t, err)
		require.Equal(t, name, precisions.toGo(value))
	}
	require.Equal(t, map[backend.Stage]bindings.Stage{0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7, 16: 16, 17: 17, 18: 18, 19: 19}, stages)
	require.Len(t, stageComponents, len(stages))
	for bit, name := range map[bindings.Component]string{
		bindings.ComponentTextEncoder: "text_encoder", bindings.ComponentTextEncoder2: "text_encoder_2", bindings.ComponentUNet: "unet",
		bindings.ComponentVAEEncoder: "vae_encoder", bindings.ComponentVAEDecoder: "vae_decoder",
		bindings.ComponentControlNet: "controlnet", bindings.ComponentUpscaler: "upscaler",
	} {
		got, err := componentBits([]string{name})
		require.NoError(t, err)
		require.Equal(t, bit, got)
	}
}
