package modelfile_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/modeltest"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// TestMarkersOfOtherFiles: a marker speaks of the UNet in its file, not of the one that another file gives.
func TestMarkersOfOtherFiles(t *testing.T) {
	base := synthetic(t)
	none := base.Write(t, "eps.safetensors")
	marked := base.With(modeltest.Floats("v_pred", modelfile.F32, []int64{0}), modeltest.Floats("ztsnr", modelfile.F32, []int64{0})).
		Write(t, "v.safetensors")
	for name, c := range map[string]struct {
		files backend.Files
		v     bool
	}{
		"model":        {backend.Files{Model: marked}, true},
		"UNet":         {backend.Files{Model: none, UNet: marked}, true},
		"VAE":          {backend.Files{Model: none, VAE: marked}, false},
		"text encoder": {backend.Files{Model: none, TextEncoder2: marked}, false},
	} {
		m, err := modelfile.ReadModel(c.files)
		require.NoError(t, err)
		table, err := m.Table()
		require.NoError(t, err)
		assert.Equal(t, c.v, table.VPrediction, name)
		assert.Equal(t, c.v, table.ZeroTerminalSNR, name)
		assert.Empty(t, table.Unused)
	}
}

// TestGuidanceEmbedding: its width is read off the weights under both names, and nothing of it is left over.
func TestGuidanceEmbedding(t *testing.T) {
	base := synthetic(t)
	for _, name := range []string{"time_embedding.cond_proj.weight", "time_embed.cond_proj.weight"} {
		told := base.With(modeltest.GuidanceProjection(unetPrefix + name))
		for _, f := range []*modeltest.File{told, told.Under(unetPrefix, "")} {
			r, err := modelfile.Check(f.Write(t, "lcm.safetensors"))
			require.NoError(t, err)
			assert.Equal(t, 256, r.Dims.UNet.GuidanceDim)
			assert.Empty(t, r.Warnings)
		}
	}
	r, err := modelfile.Check(base.Write(t, "m.safetensors"))
	require.NoError(t, err)
	assert.Zero(t, r.Dims.UNet.GuidanceDim)
	small := modeltest.Floats(unetPrefix+"time_embedding.cond_proj.weight", modelfile.F32, []int64{4, 2}, make([]float32, 8)...)
	_, err = modelfile.Check(base.With(small).Write(t, "m.safetensors"))
	require.ErrorIs(t, err, modelfile.ErrTensor)
	require.ErrorContains(t, err, "cond_proj.weight\": shape [4, 2], expected [32, 2]")
}

// TestLatentsOfOtherWidth: what is said of the latents must be said of each channel.
func TestLatentsOfOtherWidth(t *testing.T) {
	base := synthetic(t)
	three := []float32{1, 2, 3}
	_, err := modelfile.Check(base.With(modeltest.Floats("edm_mean", modelfile.F32, []int64{3}, three...),
		modeltest.Floats("edm_std", modelfile.F32, []int64{3}, three...)).Write(t, "m.safetensors"))
	require.ErrorIs(t, err, modelfile.ErrConfig)
	require.ErrorContains(t, err, "m.safetensors: vae.latents_mean: 3 numbers, and the VAE's latents have 4 channels")
}

// synthetic is a very small checkpoint with random weights.
func synthetic(t *testing.T) *modeltest.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.safetensors")
	require.NoError(t, synth.Write(t.Context(), path, synth.Options{Kind: synth.KindNano, Seed: 3}))
	return modeltest.Read(t, path)
}

const unetPrefix = "model.diffusion_model."
