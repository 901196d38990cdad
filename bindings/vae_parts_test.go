package bindings

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVAEPartsPassEveryField(t *testing.T) {
	m := openFake(t, fake(t))
	const decodeLevels, encodeLevels = 17, 18
	info, err := m.VAEPartInfo(decodeLevels)
	require.NoError(t, err)
	require.Equal(t, []int64{2, 3, 3, 2}, []int64{info.InChannels, info.OutChannels, info.Norms, info.Groups})

	in := VAEPart{Stage: decodeLevels, Height: 2, Width: 3, Input: Pointer(sequence(2*2*3, 5)), Statistics: Pointer(sequence(12, 100)),
		CoreTop: 0, CoreLeft: 1, CoreHeight: 2, CoreWidth: 2}
	out, measured := make([]float32, 3*16*24), make([]float32, 12)
	require.NoError(t, m.RunVAEPart(in, out, measured))
	require.Equal(t, []float32{5, 6}, []float32{out[0], out[8]}, "eight pixels a cell")
	require.Equal(t, float32(7), out[2*16*24], "the third channel")
	require.Equal(t, []float32{101, 4}, measured[:2], "what was given plus the core's left edge; the core's area")
	in = VAEPart{Stage: encodeLevels, Height: 8, Width: 16, Input: Pointer(sequence(3*8*16, 0))}
	require.NoError(t, m.RunVAEPart(in, make([]float32, 2*2), nil))
	_, err = m.VAEPartInfo(2)
	require.ErrorContains(t, err, "stage")
}
