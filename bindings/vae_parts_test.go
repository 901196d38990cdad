package bindings

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVAEPartsPassEveryField(t *testing.T) {
	m := openFake(t, fake(t))
	info, err := m.VAEPartInfo(StageVAEDecodeLevels)
	require.NoError(t, err)
	require.Equal(t, []int64{2, 3, 3, 2}, []int64{info.InChannels, info.OutChannels, info.Norms, info.Groups})

	in := VAEPart{Stage: StageVAEDecodeLevels, Height: 2, Width: 3, Input: sequence(2*2*3, 5), Statistics: sequence(12, 100),
		CoreTop: 0, CoreLeft: 1, CoreHeight: 2, CoreWidth: 2}
	out, measured := make([]float32, 3*16*24), make([]float32, 12)
	require.NoError(t, m.RunVAEPart(in, out, measured))
	require.Equal(t, []float32{5, 6}, []float32{out[0], out[8]}, "eight pixels a cell")
	require.Equal(t, float32(7), out[2*16*24], "the third channel")
	require.Equal(t, []float32{101, 4}, measured[:2], "what was given plus the core's left edge; the core's area")
	require.NoError(t, m.RunVAEPart(VAEPart{Stage: StageVAEEncodeLevels, Height: 8, Width: 16, Input: sequence(3*8*16, 0)}, make([]float32, 2*2), nil))
}

func TestVAEPartsCheckLengths(t *testing.T) {
	m := openFake(t, fake(t))
	good := VAEPart{Stage: StageVAEDecodeLevels, Height: 1, Width: 1, Input: make([]float32, 2)}
	for says, c := range map[string]struct {
		edit func(*VAEPart)
		out  int
	}{
		"input has 1 elements; [2 1 1] needs 2":      {func(p *VAEPart) { p.Input = p.Input[:1] }, 192},
		"output has 191 elements; [3 8 8] needs 192": {func(*VAEPart) {}, 191},
		"statistics has 3 elements; [3 2 2] needs":   {func(p *VAEPart) { p.Statistics = make([]float32, 3) }, 192},
		"stage": {func(p *VAEPart) { p.Stage = StageUNet }, 192},
	} {
		in := good
		c.edit(&in)
		require.ErrorContains(t, m.RunVAEPart(in, make([]float32, c.out), nil), says)
	}
}
