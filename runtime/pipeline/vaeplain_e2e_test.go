//go:build !race

package pipeline

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
)

// plainVAE writes nano's VAE without the attention in its middle.
func plainVAE(t *testing.T) string {
	t.Helper()
	base, err := nano.Path(t.Context())
	require.NoError(t, err)
	f, err := modelfile.Open(base)
	require.NoError(t, err)
	defer f.Close()
	var tensors []writer.Tensor
	var data [][]byte
	for _, x := range f.Tensors {
		name, ok := strings.CutPrefix(x.Name, "first_stage_model.")
		if !ok || strings.Contains(name, ".attn_1.") {
			continue
		}
		raw, err := f.ReadRaw(x.Name)
		require.NoError(t, err)
		tensors = append(tensors, writer.Tensor{Name: name, DType: x.DType, Shape: x.Shape, Size: x.Size})
		data = append(data, raw)
	}
	path := filepath.Join(t.TempDir(), "plain.safetensors")
	writeTensors(t, path, tensors, data, f.Metadata)
	return path
}

// TestGoldenVAEWithoutAttention compares a VAE of mid_block_add_attention=false with diffusers', and its tiles with the whole.
func TestGoldenVAEWithoutAttention(t *testing.T) {
	path := plainVAE(t)
	r, err := modelfile.Check(path, modelfile.KindVAE)
	require.NoError(t, err)
	assert.True(t, r.Dims.VAE.NoAttention)
	b, err := native.New(native.Options{})
	require.NoError(t, err)
	m, err := b.Open(t.Context(), backend.ModelConfig{Files: backend.Files{VAE: path}, Precision: backend.PrecisionExact, Threads: 1,
		Device: "cpu", Hyper: backend.Hyper{VAENormNumGroups: r.Config.VAE.NormNumGroups}})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	moments, err := m.EncodeImage(t.Context(), cut(golden(t, "vae_square_pixels"), 0, 0, 64, 96))
	require.NoError(t, err)
	want := golden(t, "vae_plain_moments")
	assert.Less(t, relativeL2(t, moments.Data, want.Data), 5e-5)
	half := len(want.Data) / 2
	out, err := m.DecodeLatents(t.Context(), backend.Tensor{Shape: []int{1, 4, 8, 12}, Data: want.Data[:half]})
	require.NoError(t, err)
	assert.Less(t, relativeL2(t, out.Data, golden(t, "vae_plain_decoded").Data), 5e-5)
}
