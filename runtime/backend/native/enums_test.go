package native

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/internal/contract"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// sameNames checks that the ABI's enum has the interface's names, and no other, and translates each both ways.
func sameNames[T ~string](t *testing.T, abi []string, names ...T) {
	t.Helper()
	require.Len(t, names, len(abi))
	for _, name := range names {
		require.Contains(t, abi, string(name))
		value, err := checked("an operation", "field", abi, name)
		require.NoError(t, err)
		require.Equal(t, name, named[T](abi, value))
	}
	_, err := checked[T]("an operation", "the field", abi, "nonsense")
	require.ErrorIs(t, err, backend.ErrArgument)
	require.ErrorContains(t, err, `an operation: the field: "nonsense" is unknown; known are `)
	require.Equal(t, T("unknown (99)"), named[T](abi, 99))
	require.Equal(t, T("unknown (-1)"), named[T](abi, -1))
	require.Zero(t, number[T](abi, ""))
}

func TestEveryNameOfTheInterfaceIsTheABIs(t *testing.T) {
	sameNames(t, bindings.Types, backend.Types...)
	sameNames(t, bindings.Precisions, backend.Precisions...)
	sameNames(t, bindings.Residencies, backend.Residencies...)
	sameNames(t, bindings.Flashes, contract.FlashAttention...)
	sameNames(t, bindings.Convs, contract.Convolution...)
	sameNames(t, bindings.TrialKinds, backend.TrialConv2D, backend.TrialAttention, backend.TrialLinear)
	sameNames(t, bindings.Activations[1:], contract.Activations...)
	sameNames(t, bindings.Components[:], contract.Components...)
	sameNames(t, bindings.Kinds, backend.KindUnknown, backend.KindSDXLBase, backend.KindSDXLRefiner, backend.KindSDXLInpaint, backend.KindVAE,
		backend.KindTextEncoder, backend.KindControlNet, backend.KindTAESD, backend.KindUpscaler,
		backend.KindImageEncoder, backend.KindIPAdapter, backend.KindDetector)
	sameNames(t, bindings.DeviceKinds, backend.DeviceCPU, backend.DeviceGPU, backend.DeviceIGPU, backend.DeviceAccel)
	sameNames(t, bindings.ModuleKinds, backend.ModuleLinear, backend.ModuleConv2D, backend.ModuleNorm, backend.ModuleEmbedding)
	sameNames(t, bindings.LoRAForms, backend.LoRALowRank, backend.LoRAKron, backend.LoRADense, backend.LoRAInScale, backend.LoRAOutScale,
		backend.LoRABias, backend.LoRANorm, backend.LoRABiasScale, backend.LoRAInLowRank, backend.LoRAOutRotate, backend.LoRAInRotate)
}

func TestActivationsAndComponentsAsNumbers(t *testing.T) {
	require.Equal(t, []int32{0, 1, 2}, []int32{number(bindings.Activations, ""), number(bindings.Activations, "quick_gelu"),
		number(bindings.Activations, "gelu")})
	for i, name := range contract.Components {
		require.Equal(t, int32(1)<<i, bits([]string{name}))
	}
	require.Zero(t, bits(nil))
}
