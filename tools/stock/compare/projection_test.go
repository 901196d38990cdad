package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
)

func TestWriteProjection(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "model.safetensors")
	data, err := safetensors(originalProjection, matrix{2, 3, []float32{1, 2, 3, 4, 5, 6}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(model, data, 0o600))
	path, err := writeProjection(model, dir)
	require.NoError(t, err)

	f, err := modelfile.Open(path)
	require.NoError(t, err)
	defer f.Close()
	tensor, ok := f.Tensor(stockProjection)
	require.True(t, ok)
	assert.Equal(t, []int64{3, 2}, tensor.Shape)
	values, err := f.ReadFloat32(stockProjection)
	require.NoError(t, err)
	assert.Equal(t, []float32{1, 4, 2, 5, 3, 6}, values)
}

func TestWriteProjectionNotNeeded(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "model.safetensors")
	data, err := safetensors("text_encoder_2.text_projection.weight", matrix{1, 2, []float32{1, 2}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(model, data, 0o600))
	path, err := writeProjection(model, dir)
	require.NoError(t, err)
	assert.Empty(t, path)
	_, err = writeProjection(filepath.Join(dir, "absent"), dir)
	assert.ErrorContains(t, err, "absent")
}
