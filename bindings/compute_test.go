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

// unet is an evaluation with its tensors as slices.
type unet struct {
	UNetInput
	sample, timesteps, context, pooled, sizeIDs, residuals []float32
	loras                                                  []LoRAUse
	onDevice                                               *Residuals
}

func unetInputs(batch, height, width, tokens int) (unet, []float32) {
	return unet{
		UNetInput: UNetInput{Batch: int64(batch), Height: int64(height), Width: int64(width), ContextTokens: int64(tokens)},
		sample:    sequence(batch*4*height*width, 1),
		timesteps: sequence(batch, 10),
		context:   sequence(batch*tokens*fakeContext, 100),
		pooled:    sequence(batch*fakePooled, 1000),
		sizeIDs:   sequence(batch*fakeSizeIDs, 2000),
	}, make([]float32, batch*4*height*width)
}

func (u unet) eval(m *Model, out []float32) error {
	in := u.UNetInput
	in.Sample, in.Timesteps, in.Context = Pointer(u.sample), Pointer(u.timesteps), Pointer(u.context)
	in.Pooled, in.SizeIDs = Pointer(u.pooled), Pointer(u.sizeIDs)
	in.Residuals, in.ResidualCount = Pointer(u.residuals), int64(len(u.residuals))
	return m.UNetEval(in, u.loras, nil, nil, u.onDevice, out)
}

// addOf is what the stand-in adds to image n besides its timestep.
func addOf(in unet, n int) float32 {
	return in.context[(n+1)*int(in.ContextTokens)*fakeContext-1] + in.pooled[(n+1)*fakePooled-1] + in.sizeIDs[(n+1)*fakeSizeIDs-1]
}

func TestUNetEvalPassesEveryInput(t *testing.T) {
	m := openFake(t, fake(t))
	in, out := unetInputs(2, 3, 5, 7)
	require.NoError(t, in.eval(m, out))
	for n := range 2 {
		for i := range 4 * 3 * 5 {
			at := n*4*3*5 + i
			require.Equal(t, in.sample[at]+in.timesteps[n]+addOf(in, n), out[at])
		}
	}
}

func TestTextEncode(t *testing.T) {
	m := openFake(t, fake(t))
	ids := make([]int32, 2*77)
	for i := range ids {
		ids[i] = int32(i % 20)
	}
	ids[3] = 21 // the second custom row
	in := TextInput{Encoder: 1, ClipSkip: 2, Chunks: 2, Tokens: 77, IDs: &ids[0], Custom: Pointer(sequence(10, 50)), CustomCount: 2}
	hidden, pooled := make([]float32, 2*77*5), make([]float32, 2*5)
	require.NoError(t, m.TextEncode(in, nil, hidden, pooled))
	require.Equal(t, []float32{1000.2, 1000.2, 1000.2, 1000.2, 1000.2}, hidden[:5])
	require.Equal(t, []float32{55, 56, 57, 58, 59}, hidden[15:20])
	require.NotZero(t, pooled[9])

	first := TextInput{Chunks: 1, Tokens: 77, IDs: Pointer(make([]int32, 77))}
	require.NoError(t, m.TextEncode(first, nil, make([]float32, 77*3), nil))
}

func TestVAE(t *testing.T) {
	m := openFake(t, fake(t))
	pixels := sequence(2*3*16*24, 0)
	moments := make([]float32, 2*8*2*3)
	require.NoError(t, m.VAEEncode(2, 16, 24, pixels, moments))
	require.Equal(t, pixels[8], moments[1])
	require.Equal(t, float32(7), moments[len(moments)-1])

	latents := sequence(2*4*2*3, 0)
	out := make([]float32, 2*3*16*24)
	require.NoError(t, m.VAEDecode(2, 2, 3, latents, out))
	require.Equal(t, latents[1], out[8])
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
	q := ComputeQuery{Stage: 4, Batch: 3, Height: 4, Width: 5, ContextTokens: 77}
	size, err := m.ComputeSize(q)
	require.NoError(t, err)
	require.EqualValues(t, 4000000+30000+400+5+77, size)
	lanes, err := m.ComputeLanes(q)
	require.NoError(t, err)
	require.Equal(t, 2, lanes)

	in, out := unetInputs(1, 2, 2, 1)
	require.NoError(t, in.eval(m, out))
	held, err := m.ComputeHeld()
	require.NoError(t, err)
	require.EqualValues(t, 64, held)
	require.NoError(t, m.ComputeRelease())
	held, err = m.ComputeHeld()
	require.NoError(t, err)
	require.Zero(t, held)
}
