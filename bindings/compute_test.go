package bindings

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Dimensions of the stand-in's model.
const fakeContext, fakePooled, fakeSizeIDs = 8, 5, 6

func sequence(n int, from float32) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = from + float32(i)
	}
	return s
}

func unetInputs(batch, height, width, tokens int) (UNetInput, []float32) {
	return UNetInput{
		Batch: int64(batch), Height: int64(height), Width: int64(width), ContextTokens: int64(tokens),
		Sample:    sequence(batch*4*height*width, 1),
		Timesteps: sequence(batch, 10),
		Context:   sequence(batch*tokens*fakeContext, 100),
		Pooled:    sequence(batch*fakePooled, 1000),
		SizeIDs:   sequence(batch*fakeSizeIDs, 2000),
	}, make([]float32, batch*4*height*width)
}

// addOf is what the stand-in adds to image n besides its timestep.
func addOf(in UNetInput, n int) float32 {
	return in.Context[(n+1)*int(in.ContextTokens)*fakeContext-1] + in.Pooled[(n+1)*fakePooled-1] + in.SizeIDs[(n+1)*fakeSizeIDs-1]
}

func TestUNetEvalPassesEveryInput(t *testing.T) {
	m := openFake(t, fake(t))
	in, out := unetInputs(2, 3, 5, 7)
	require.NoError(t, m.UNetEval(in, out))
	for n := range 2 {
		for i := range 4 * 3 * 5 {
			at := n*4*3*5 + i
			require.Equal(t, in.Sample[at]+in.Timesteps[n]+addOf(in, n), out[at])
		}
	}
}

func TestUNetEvalChecksLengths(t *testing.T) {
	m := openFake(t, fake(t))
	for name, c := range map[string]struct {
		edit func(*UNetInput, *[]float32)
		says string
	}{
		"sample":     {func(in *UNetInput, _ *[]float32) { in.Sample = in.Sample[1:] }, "sample has 15 elements; [1 4 2 2] needs 16"},
		"timesteps":  {func(in *UNetInput, _ *[]float32) { in.Timesteps = nil }, "timesteps has 0 elements; [1] needs 1"},
		"context":    {func(in *UNetInput, _ *[]float32) { in.ContextTokens = 2 }, "context has 8 elements; [1 2 8] needs 16"},
		"pooled":     {func(in *UNetInput, _ *[]float32) { in.Pooled = in.Pooled[:1] }, "pooled has 1 elements; [1 5] needs 5"},
		"size_ids":   {func(in *UNetInput, _ *[]float32) { in.SizeIDs = append(in.SizeIDs, 0) }, "size_ids has 7 elements; [1 6] needs 6"},
		"out":        {func(_ *UNetInput, out *[]float32) { *out = (*out)[:3] }, "out has 3 elements; [1 4 2 2] needs 16"},
		"negative":   {func(in *UNetInput, _ *[]float32) { in.Height = -2 }, "sample has a negative dimension"},
		"overflow":   {func(in *UNetInput, _ *[]float32) { in.Height, in.Width = 1<<40, 1<<40 }, "the dimensions of sample are too large"},
		"wraps to 0": {func(in *UNetInput, _ *[]float32) { in.Height, in.Width, in.Sample = 1<<32, 1<<32, nil }, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			in, out := unetInputs(1, 2, 2, 1)
			c.edit(&in, &out)
			err := m.UNetEval(in, out)
			require.ErrorIs(t, err, ErrArgument)
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestTextEncode(t *testing.T) {
	m := openFake(t, fake(t))
	ids := make([]int32, 2*77)
	for i := range ids {
		ids[i] = int32(i % 20)
	}
	ids[3] = 21 // the second custom row
	in := TextInput{Encoder: 1, ClipSkip: 2, Chunks: 2, Tokens: 77, IDs: ids, Custom: sequence(10, 50), CustomCount: 2}
	hidden, pooled := make([]float32, 2*77*5), make([]float32, 2*5)
	require.NoError(t, m.TextEncode(in, hidden, pooled))
	require.Equal(t, []float32{1000.2, 1000.2, 1000.2, 1000.2, 1000.2}, hidden[:5])
	require.Equal(t, []float32{55, 56, 57, 58, 59}, hidden[15:20])
	require.NotZero(t, pooled[9])

	first := TextInput{Chunks: 1, Tokens: 77, IDs: make([]int32, 77)}
	require.NoError(t, m.TextEncode(first, make([]float32, 77*3), nil))

	for name, c := range map[string]struct {
		in             TextInput
		hidden, pooled int
		says           string
	}{
		"encoder": {TextInput{Encoder: 2}, 0, 0, "encoder is 2"},
		"ids":     {TextInput{Chunks: 1, Tokens: 77, IDs: ids[:76]}, 77 * 3, 0, "ids has 76 elements"},
		"custom":  {TextInput{Chunks: 1, Tokens: 77, IDs: ids[:77], CustomCount: 1}, 77 * 3, 0, "custom has 0 elements; [1 3] needs 3"},
		"hidden":  {TextInput{Chunks: 1, Tokens: 77, IDs: ids[:77]}, 3, 0, "hidden has 3 elements"},
		"pooled":  {TextInput{Encoder: 1, Chunks: 1, Tokens: 77, IDs: ids[:77]}, 77 * 5, 4, "pooled has 4 elements; [1 5] needs 5"},
	} {
		t.Run(name, func(t *testing.T) {
			err := m.TextEncode(c.in, make([]float32, c.hidden), make([]float32, c.pooled))
			require.ErrorIs(t, err, ErrArgument)
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestVAE(t *testing.T) {
	m := openFake(t, fake(t))
	pixels := sequence(2*3*16*24, 0)
	moments := make([]float32, 2*8*2*3)
	require.NoError(t, m.VAEEncode(2, 16, 24, pixels, moments))
	require.Equal(t, pixels[8], moments[1])
	require.Equal(t, float32(7), moments[len(moments)-1])
	require.ErrorContains(t, m.VAEEncode(2, 16, 23, pixels, moments), "23 x 16 pixels are not multiples of 8")
	require.ErrorContains(t, m.VAEEncode(2, 16, 24, pixels[1:], moments), "pixels has")
	require.ErrorContains(t, m.VAEEncode(2, 16, 24, pixels, moments[1:]), "moments has")

	latents := sequence(2*4*2*3, 0)
	out := make([]float32, 2*3*16*24)
	require.NoError(t, m.VAEDecode(2, 2, 3, latents, out))
	require.Equal(t, latents[1], out[8])
	require.ErrorContains(t, m.VAEDecode(2, 2, 3, latents[1:], out), "latents has")
	require.ErrorContains(t, m.VAEDecode(2, 2, 3, latents, out[1:]), "pixels has")
}

func TestMissingComponents(t *testing.T) {
	m := openFake(t, fake(t), "vae.safetensors")
	in, out := unetInputs(1, 2, 2, 1)
	for _, err := range []error{
		m.UNetEval(in, out),
		m.TextEncode(TextInput{Encoder: 0}, nil, nil),
		m.TextEncode(TextInput{Encoder: 1}, nil, nil),
	} {
		require.ErrorIs(t, err, ErrUnsupported)
		require.ErrorContains(t, err, "this model has no ")
	}
	require.NoError(t, m.VAEDecode(1, 1, 1, make([]float32, 4), make([]float32, 3*64)))
}

func TestTokenize(t *testing.T) {
	lib := fake(t)
	ids, err := lib.Tokenize("")
	require.NoError(t, err)
	require.Empty(t, ids)
	ids, err = lib.Tokenize("ab")
	require.NoError(t, err)
	require.Equal(t, []int32{'a' % 20, 'b' % 20}, ids)
	long := strings.Repeat("a", 100_000) // more than the first guess holds
	ids, err = lib.Tokenize(long)
	require.NoError(t, err)
	require.Len(t, ids, len(long))
	_, err = lib.Tokenize("!")
	require.ErrorIs(t, err, ErrArgument)
	_, err = lib.Tokenize(strings.Repeat("\x01", 100)) // five tokens for a byte: believed impossible
	require.ErrorIs(t, err, ErrEngine)
}

func TestComputeBuffers(t *testing.T) {
	m := openFake(t, fake(t))
	q := NewComputeQuery(StageVAEDecode)
	q.Batch, q.Height, q.Width, q.ContextTokens = 3, 4, 5, 77
	size, err := m.ComputeSize(q)
	require.NoError(t, err)
	require.EqualValues(t, 4000000+30000+400+5+77, size)
	_, err = m.ComputeSize(nil)
	require.ErrorIs(t, err, ErrArgument)
	lanes, err := m.ComputeLanes(q)
	require.NoError(t, err)
	require.Equal(t, 2, lanes)
	_, err = m.ComputeLanes(nil)
	require.ErrorIs(t, err, ErrArgument)

	in, out := unetInputs(1, 2, 2, 1)
	require.NoError(t, m.UNetEval(in, out))
	held, err := m.ComputeHeld()
	require.NoError(t, err)
	require.EqualValues(t, 64, held)
	require.NoError(t, m.ComputeRelease())
	held, err = m.ComputeHeld()
	require.NoError(t, err)
	require.Zero(t, held)
}
