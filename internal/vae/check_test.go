package vae

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

// flat is a picture of one colour a block of 32 pixels, which the fake's VAE brings back unharmed.
func flat(size int) Sample {
	t := backend.NewTensor(1, 3, size, size)
	for i := range t.Data {
		t.Data[i] = float32((i%size/32+i/size%size/32*2+i/(size*size))%5)/4 - 0.5
	}
	return Sample{"flat", t}
}

// shifting adds something to what the decoder yields.
type shifting struct {
	backend.Model
	by float32
}

func (s shifting) DecodeLatents(ctx context.Context, in backend.Tensor) (backend.Tensor, error) {
	out, err := s.Model.DecodeLatents(ctx, in)
	for i := range out.Data {
		out.Data[i] += s.by
	}
	return out, err
}

// edgy darkens the first column of what it decodes, so that every tile has an edge.
type edgy struct{ backend.Model }

func (e edgy) DecodeLatents(ctx context.Context, in backend.Tensor) (backend.Tensor, error) {
	out, err := e.Model.DecodeLatents(ctx, in)
	w := out.Shape[3]
	for i := range out.Data {
		if i%w > w-90 {
			out.Data[i] -= 0.3
		}
	}
	return out, err
}

func TestCheckJudges(t *testing.T) {
	sound := open(t, &fake.Backend{}, backend.ModelConfig{})
	check := func(m backend.Model, o CheckOptions, s ...Sample) CheckReport {
		r, err := Check(t.Context(), m, s, o)
		require.NoError(t, err)
		return r
	}
	var steps []int
	good := check(sound, CheckOptions{Progress: func(done, total int) { steps = append(steps, done, total) }}, flat(512), flat(128))
	assert.Equal(t, []int{1, 3, 2, 3, 3, 3}, steps)
	assert.Equal(t, Good, good.Verdict, good.Reasons)
	require.NotNil(t, good.Tiled)
	assert.Equal(t, []any{"flat", 9, 256}, []any{good.Tiled.Name, good.Tiled.Tiles, good.Tiled.TileSize})
	assert.Less(t, good.Tiled.Bytes, good.Tiled.WholeBytes)
	assert.Greater(t, good.Pictures[0].PSNR, 60.0)
	assert.Nil(t, check(sound, CheckOptions{}, flat(256)).Tiled, "one tile is enough")

	for name, c := range map[string]struct {
		model   backend.Model
		options CheckOptions
		sample  Sample
		verdict Verdict
		says    string
	}{
		"colours":         {shifting{sound, 0.06}, CheckOptions{}, flat(64), Fair, "colours shift by 7.7"},
		"far off colours": {shifting{sound, 0.3}, CheckOptions{}, flat(64), Bad, "colours shift by 3"},
		"no detail":       {sound, CheckOptions{}, Samples(64)[2], Bad, "texture: it comes back at"},
		"not finite":      {shifting{sound, float32(math.NaN())}, CheckOptions{}, flat(64), Bad, "values that are not finite"},
		"black":           {shifting{sound, -9}, CheckOptions{}, flat(64), Bad, "nothing but black"},
		"encoder":         {faulty{sound, float32(math.Inf(1))}, CheckOptions{}, flat(64), Bad, "values that are not finite"},
		"tiles":           {edgy{sound}, CheckOptions{}, flat(512), Fair, "tiles change it"},
		"scaling factor":  {sound, CheckOptions{ScalingFactor: 20}, flat(64), Fair, "scaling factor 20"},
	} {
		r := check(c.model, c.options, c.sample)
		assert.Equal(t, c.verdict, r.Verdict, "%s: %v", name, r.Reasons)
		assert.Contains(t, strings.Join(r.Reasons, "; "), c.says, name)
	}
}

func TestCheckCountsAndCancels(t *testing.T) {
	m := open(t, &fake.Backend{}, backend.ModelConfig{})
	r, err := Check(t.Context(), shifting{m, float32(math.NaN())}, []Sample{flat(64)}, CheckOptions{})
	require.NoError(t, err)
	assert.Equal(t, 3*64*64, r.Pictures[0].NotFinite)
	assert.Nil(t, r.Tiled)
	black := backend.NewTensor(1, 3, 64, 64)
	for i := range black.Data {
		black.Data[i] = -1
	}
	r, err = Check(t.Context(), m, []Sample{{"black", black}}, CheckOptions{})
	require.NoError(t, err)
	assert.Equal(t, Good, r.Verdict, "a picture that is black is meant to be: %v", r.Reasons)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Check(ctx, m, Samples(64), CheckOptions{})
	require.ErrorIs(t, err, context.Canceled)
	_, err = Check(t.Context(), m, []Sample{{"odd", backend.NewTensor(1, 3, 12, 8)}}, CheckOptions{})
	require.ErrorContains(t, err, "picture odd")
}

// TestTilesOfAWrappedPicture: tiles and wrapped borders together are the picture with a margin from its other side, cut off again.
func TestTilesOfAWrappedPicture(t *testing.T) {
	m := open(t, &fake.Backend{}, backend.ModelConfig{})
	latents := random(1, 4, 40, 48)
	want, _, err := Policy{Tiling: Off}.Decode(t.Context(), m, latents)
	require.NoError(t, err)
	for _, axes := range []backend.Wrap{backend.WrapX, backend.WrapY, backend.WrapX | backend.WrapY} {
		got, _, err := Policy{Tiling: On, TileSize: 256}.Decode(backend.WithWrap(t.Context(), axes), m, latents)
		require.NoError(t, err)
		assert.Equal(t, want.Shape, got.Shape)
		assert.InDeltaSlice(t, want.Data, got.Data, 1e-5, "the fake looks at single cells")
	}
}
