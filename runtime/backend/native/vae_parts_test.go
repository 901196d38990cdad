package native

import (
	"image"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

func TestVAEParts(t *testing.T) {
	m := fakeModel(t, fakeBackend(t, nil), "m")
	info, err := m.VAEPartInfo(backend.StageVAEEncodeLevels)
	require.NoError(t, err)
	require.Equal(t, backend.VAEPartInfo{InChannels: 3, OutChannels: 2, Norms: 3, Groups: 2}, info)

	out, measured, err := m.RunVAEPart(t.Context(), backend.VAEPartInput{Stage: backend.StageVAEDecodeLevels,
		Input: backend.NewTensor(1, 2, 3, 4), Core: image.Rect(1, 0, 4, 3)})
	require.NoError(t, err)
	require.Equal(t, []int{1, 3, 24, 32}, out.Shape)
	require.Equal(t, backend.NormStatistics{1, 9, 1, 9}, measured[:4])
	out, measured, err = m.RunVAEPart(t.Context(), backend.VAEPartInput{Stage: backend.StageVAEEncodeMiddle,
		Input: backend.NewTensor(1, 2, 3, 4)})
	require.NoError(t, err)
	require.Equal(t, []int{1, 8, 3, 4}, out.Shape)
	require.Nil(t, measured)
	bytes, err := m.ComputeBytes(backend.ComputeQuery{Stage: backend.StageVAEDecodeLevels, Batch: 1, Height: 2, Width: 3})
	require.NoError(t, err)
	require.EqualValues(t, 17010203, bytes)
}

func TestVAEPartsRefuseWhatDoesNotFit(t *testing.T) {
	m := fakeModel(t, fakeBackend(t, nil), "m")
	for says, in := range map[string]backend.VAEPartInput{
		"stage: 2 is none of the VAE's parts": {Stage: backend.StageUNet},
		"input: has shape [1 4 1 1]; wanted is [1 2 * *]": {Stage: backend.StageVAEDecodeLevels,
			Input: backend.NewTensor(1, 4, 1, 1)},
		"input: has shape [2 2 1 1]": {Stage: backend.StageVAEDecodeLevels,
			Input: backend.NewTensor(2, 2, 1, 1)},
		"input: 12 x 8 (W x H) are not multiples of 8": {Stage: backend.StageVAEEncodeLevels,
			Input: backend.NewTensor(1, 3, 8, 12)},
		"statistics: has 4 values; this part has 3 norms of 2 groups": {Stage: backend.StageVAEDecodeLevels, Input: backend.NewTensor(1, 2, 1, 1),
			Statistics: make(backend.NormStatistics, 4)},
		"core: is given": {Stage: backend.StageVAEDecodeMiddle, Input: backend.NewTensor(1, 4, 1, 1), Core: image.Rect(0, 0, 1, 1)},
	} {
		_, _, err := m.RunVAEPart(t.Context(), in)
		require.ErrorIs(t, err, backend.ErrArgument)
		require.ErrorContains(t, err, "running a part of the VAE: "+says)
	}
}
