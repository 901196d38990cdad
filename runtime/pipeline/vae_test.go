package pipeline

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/vae"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

func TestTilesAndSlicesMakeTheSamePictures(t *testing.T) {
	req := request.Request{Prompt: "a red circle", Seed: 3, Width: 512, Height: 384, NumImages: 3, NumInferenceSteps: 4,
		InitImage: request.Picture{Image: rightHalf(512, 384)}}
	run := func(policy vae.Policy) (*Result, *fake.Backend) {
		b := &fake.Backend{}
		p, err := Open(t.Context(), Config{VAEPolicy: policy}, WithBackend(b))
		require.NoError(t, err)
		result, err := p.Generate(t.Context(), req)
		require.NoError(t, err)
		require.NoError(t, p.Close())
		return result, b
	}
	want, one := run(vae.Policy{})
	assert.Equal(t, []int{1, 3}, []int{one.Count(fake.OpEncodeImage), one.Count(fake.OpDecodeLatents)})
	tiled, b := run(vae.Policy{Tiling: vae.On, TileSize: 256})
	assert.Equal(t, []int{6, 18}, []int{b.Count(fake.OpEncodeImage), b.Count(fake.OpDecodeLatents)})
	whole, b := run(vae.Policy{Slicing: vae.Off})
	assert.Equal(t, 1, b.Count(fake.OpDecodeLatents))
	for i, img := range want.Images {
		assert.Less(t, distance(img.NRGBA, tiled.Images[i].NRGBA, img.Rect), 0.2, "rounding")
		assert.Equal(t, img.Pix, whole.Images[i].Pix)
		assert.Equal(t, img.Latents, whole.Images[i].Latents)
	}
	_, err := Open(t.Context(), Config{VAEPolicy: vae.Policy{TileSize: 3}}, WithBackend(&fake.Backend{}))
	require.ErrorContains(t, err, "model.vae_tile_size")
}
