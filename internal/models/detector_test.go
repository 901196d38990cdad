package models

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/modeltest"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
)

// TestBins: other distances than 0, 1, 2, ... would make other boxes.
func TestBins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "yolo.safetensors")
	require.NoError(t, synth.Write(t.Context(), path, synth.Options{Kind: synth.KindNanoYOLOv8}))
	require.NoError(t, CheckRole("detector", path))
	const name = "model.22.dfl.conv.weight"
	values := make([]float32, 16)
	for i := range values {
		values[i] = float32(2 * i)
	}
	f := modeltest.Read(t, path).Without(name)
	require.NoError(t, CheckRole("detector", f.Write(t, "without.safetensors")))
	other := f.With(modeltest.Floats(name, modelfile.F16, []int64{1, 16, 1, 1}, values...)).Write(t, "other.safetensors")
	err := CheckRole("detector", other)
	require.ErrorIs(t, err, ErrUnsupported)
	assert.ErrorContains(t, err, "model.22.dfl.conv.weight is 2 in place 1")
	assert.ErrorContains(t, CheckRole("upscaler", path), "this is a detector, which finds the parts that are painted again")
}
