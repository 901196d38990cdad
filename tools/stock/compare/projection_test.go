package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
)

func TestWriteProjection(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "model.safetensors")
	require.NoError(t, writeMatrix(model, originalProjection, 2, []float32{1, 2, 3, 4, 5, 6}))
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
	require.NoError(t, writeMatrix(model, "text_encoder_2.text_projection.weight", 1, []float32{1, 2}))
	path, err := writeProjection(model, dir)
	require.NoError(t, err)
	assert.Empty(t, path)
	_, err = writeProjection(filepath.Join(dir, "absent"), dir)
	assert.ErrorContains(t, err, "absent")
}
