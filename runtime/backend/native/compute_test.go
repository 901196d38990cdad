package native

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

func TestEncodeText(t *testing.T) {
	m := fakeModel(t, fakeBackend(t, nil), "m")
	rows := [][]int32{make([]int32, 77), make([]int32, 77)}
	rows[0][0], rows[1][76] = 5, 21
	custom := backend.NewTensor(2, 5)
	custom.Data[9] = 42
	out, err := m.EncodeText(t.Context(), backend.TextInput{Encoder: 1, ClipSkip: 1, IDs: rows, Custom: custom})
	require.NoError(t, err)
	require.Equal(t, []int{2, 77, 5}, out.Hidden.Shape)
	require.Equal(t, []int{2, 5}, out.Pooled.Shape)
	require.Equal(t, float32(1005.1), out.Hidden.Data[0])
	require.Equal(t, float32(42), out.Hidden.Data[2*77*5-1])
	require.Equal(t, float32(5), out.Pooled.Data[0])
	require.Equal(t, float32(21), out.Pooled.Data[9])

	out, err = m.EncodeText(t.Context(), backend.TextInput{IDs: rows[:1]})
	require.NoError(t, err)
	require.Equal(t, []int{1, 77, 3}, out.Hidden.Shape)
	require.Zero(t, out.Pooled) // no projection
}

func TestEncodeTextRefusals(t *testing.T) {
	m := fakeModel(t, fakeBackend(t, nil), "m")
	row := func(edit ...int32) [][]int32 { return [][]int32{append(edit, make([]int32, 77-len(edit))...)} }
	for name, c := range map[string]struct {
		in   backend.TextInput
		says string
	}{
		"encoder":      {backend.TextInput{Encoder: 2, IDs: row()}, "encoder: 2 is neither 0 nor 1"},
		"clip skip":    {backend.TextInput{ClipSkip: 2, IDs: row()}, "clip_skip: 2 is not in 0..1"},
		"no chunk":     {backend.TextInput{}, "ids: there is no chunk"},
		"short chunk":  {backend.TextInput{IDs: [][]int32{make([]int32, 76)}}, "ids: chunk 0 has 76 tokens; 77 are wanted"},
		"negative id":  {backend.TextInput{IDs: row(-1)}, "ids: token 0 of chunk 0 is -1"},
		"unknown id":   {backend.TextInput{IDs: row(0, 20)}, "ids: token 1 of chunk 0 is 20; there are 20 and 0 custom ones"},
		"custom width": {backend.TextInput{IDs: row(), Custom: backend.NewTensor(1, 5)}, "custom: has shape [1 5]; wanted is [* 3]"},
		"custom data":  {backend.TextInput{IDs: row(), Custom: backend.Tensor{Shape: []int{2, 3}, Data: make([]float32, 5)}}, "custom: has 5 elements for shape [2 3], which needs 6"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := m.EncodeText(t.Context(), c.in)
			require.ErrorIs(t, err, backend.ErrArgument)
			require.ErrorContains(t, err, "encoding text: "+c.says)
		})
	}
}

func TestUNetRefusals(t *testing.T) {
	m := fakeModel(t, fakeBackend(t, nil), "m")
	for name, c := range map[string]struct {
		edit func(in *backend.UNetInput, out *[]float32)
		says string
	}{
		"sample rank":   {func(in *backend.UNetInput, _ *[]float32) { in.Sample.Shape = []int{4, 2, 2} }, "sample: has shape [4 2 2]; 4 dimensions are wanted; wanted is [* 4 * *]"},
		"channels":      {func(in *backend.UNetInput, _ *[]float32) { in.Sample = backend.NewTensor(1, 9, 2, 2) }, "sample: has shape [1 9 2 2]; wanted is [* 4 * *]"},
		"no batch":      {func(in *backend.UNetInput, _ *[]float32) { in.Sample = backend.NewTensor(0, 4, 2, 2) }, "sample: has shape [0 4 2 2]"},
		"negative size": {func(in *backend.UNetInput, _ *[]float32) { in.Sample.Shape[2] = -2 }, "sample: has shape [1 4 -2 2]"},
		"overflow":      {func(in *backend.UNetInput, _ *[]float32) { in.Sample.Shape = []int{1 << 40, 4, 1 << 20, 4} }, "sample: has shape [1099511627776 4 1048576 4], more elements than can be"},
		"short data":    {func(in *backend.UNetInput, _ *[]float32) { in.Sample.Data = in.Sample.Data[:15] }, "sample: has 15 elements for shape [1 4 2 2], which needs 16"},
		"timesteps":     {func(in *backend.UNetInput, _ *[]float32) { in.Timesteps = []float32{1, 2} }, "timesteps: there are 2 for a batch of 1"},
		"context batch": {func(in *backend.UNetInput, _ *[]float32) { in.Context = backend.NewTensor(2, 3, 8) }, "context: has shape [2 3 8]; wanted is [1 * 8]"},
		"context empty": {func(in *backend.UNetInput, _ *[]float32) { in.Context = backend.NewTensor(1, 0, 8) }, "context: has shape [1 0 8]"},
		"pooled":        {func(in *backend.UNetInput, _ *[]float32) { in.Pooled = backend.NewTensor(1, 4) }, "pooled: has shape [1 4]; wanted is [1 5]"},
		"size ids":      {func(in *backend.UNetInput, _ *[]float32) { in.SizeIDs = backend.Tensor{} }, "size_ids: has shape []; 2 dimensions are wanted"},
		"out":           {func(_ *backend.UNetInput, out *[]float32) { *out = (*out)[:1] }, "out: has 1 elements; [1 4 2 2] needs 16"},
		"guidance":      {func(in *backend.UNetInput, _ *[]float32) { in.Guidance = []float32{8} }, "guidance: there are 1 for a batch of 1, of a UNet"},
	} {
		t.Run(name, func(t *testing.T) {
			in, out := fakeUNet(7)
			c.edit(&in, &out)
			err := m.UNet(t.Context(), in, out)
			require.ErrorIs(t, err, backend.ErrArgument)
			require.ErrorContains(t, err, "evaluating the UNet: "+c.says)
		})
	}
}

func TestVAE(t *testing.T) {
	m := fakeModel(t, fakeBackend(t, nil), "m")
	pixels := backend.NewTensor(2, 3, 16, 24)
	for i := range pixels.Data {
		pixels.Data[i] = float32(i)
	}
	moments, err := m.EncodeImage(t.Context(), pixels)
	require.NoError(t, err)
	require.Equal(t, []int{2, 8, 2, 3}, moments.Shape)
	require.Equal(t, pixels.Data[8], moments.Data[1])
	latents := backend.Tensor{Shape: []int{1, 4, 2, 3}, Data: moments.Data[:24]}
	out, err := m.DecodeLatents(t.Context(), latents)
	require.NoError(t, err)
	require.Equal(t, []int{1, 3, 16, 24}, out.Shape)
	require.Equal(t, latents.Data[1], out.Data[8])

	for says, pixels := range map[string]backend.Tensor{
		"pixels: 24 x 15 (W x H) are not multiples of 8":       backend.NewTensor(1, 3, 15, 24),
		"pixels: has shape [1 4 8 8]; wanted is [* 3 * *]":     backend.NewTensor(1, 4, 8, 8),
		"pixels: has 0 elements for shape [1 3 8 8], which ne": {Shape: []int{1, 3, 8, 8}},
	} {
		_, err := m.EncodeImage(t.Context(), pixels)
		require.ErrorIs(t, err, backend.ErrArgument)
		require.ErrorContains(t, err, "encoding an image: "+says)
	}
	for says, latents := range map[string]backend.Tensor{
		"latents: has shape [1 3 1 1]; wanted is [* 4 * *]": backend.NewTensor(1, 3, 1, 1),
		"latents: has 3 elements":                           {Shape: []int{1, 4, 1, 1}, Data: make([]float32, 3)},
	} {
		_, err := m.DecodeLatents(t.Context(), latents)
		require.ErrorIs(t, err, backend.ErrArgument)
		require.ErrorContains(t, err, "decoding latents: "+says)
	}
}

func TestMissingComponents(t *testing.T) {
	m := fakeModel(t, fakeBackend(t, nil), "vae")
	in, out := fakeUNet(7)
	err := m.UNet(t.Context(), in, out)
	require.ErrorIs(t, err, backend.ErrUnsupported)
	require.ErrorContains(t, err, "evaluating the UNet: this model (vae) has no unet; give one with a file for it")
	_, err = m.EncodeText(t.Context(), backend.TextInput{Encoder: 1, IDs: [][]int32{make([]int32, 77)}})
	require.ErrorIs(t, err, backend.ErrUnsupported)
	_, err = m.ComputeBytes(backend.ComputeQuery{Stage: backend.StageUNet, Batch: 1, Height: 1, Width: 1, ContextTokens: 77})
	require.ErrorIs(t, err, backend.ErrUnsupported)
	_, err = m.DecodeLatents(t.Context(), backend.NewTensor(1, 4, 1, 1))
	require.NoError(t, err)
}

func TestComputeBuffers(t *testing.T) {
	m := fakeModel(t, fakeBackend(t, nil), "m")
	for _, c := range []struct {
		q    backend.ComputeQuery
		want int64
	}{
		{backend.ComputeQuery{Stage: backend.StageText, Batch: 2, Height: 9, Width: 9, ContextTokens: 9}, 20000},
		{backend.ComputeQuery{Stage: backend.StageText2, Batch: 2}, 1020000},
		{backend.ComputeQuery{Stage: backend.StageUNet, Batch: 1, Height: 2, Width: 3, ContextTokens: 77}, 2010000 + 203 + 77},
		{backend.ComputeQuery{Stage: backend.StageVAEEncode, Batch: 1, Height: 8, Width: 8}, 3010808},
		{backend.ComputeQuery{Stage: backend.StageVAEDecode, Batch: 1, Height: 2, Width: 3, ContextTokens: 9}, 4010203},
	} {
		got, err := m.ComputeBytes(c.q)
		require.NoError(t, err)
		require.Equal(t, c.want, got)
	}
	for says, q := range map[string]backend.ComputeQuery{
		"stage: 12 is none of the stages":            {Stage: 12, Batch: 1},
		"batch: is 0; at least 1 is wanted":          {Stage: backend.StageText},
		"width: is -1; at least 1 is wanted":         {Stage: backend.StageVAEDecode, Batch: 1, Height: 1, Width: -1},
		"context tokens: is 0; at least 1 is wanted": {Stage: backend.StageUNet, Batch: 1, Height: 1, Width: 1},
	} {
		_, err := m.ComputeBytes(q)
		require.ErrorIs(t, err, backend.ErrArgument)
		require.ErrorContains(t, err, "measuring a compute buffer: "+says)
	}
	requireUsable(t, m)
	held, err := m.ComputeHeld()
	require.NoError(t, err)
	require.EqualValues(t, 64, held)
	require.NoError(t, m.ReleaseCompute())
	held, err = m.ComputeHeld()
	require.NoError(t, err)
	require.Zero(t, held)
}
