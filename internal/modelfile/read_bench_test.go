package modelfile_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// BenchmarkReadModel reads the header of a full-size checkpoint and judges it.
func BenchmarkReadModel(b *testing.B) {
	path := filepath.Join(b.TempDir(), "m.safetensors")
	require.NoError(b, synth.WriteHollow(path, synth.Options{Kind: synth.KindSDXLBase}))
	for b.Loop() {
		m, err := modelfile.ReadModel(backend.Files{Model: path})
		require.NoError(b, err)
		_, err = m.Table()
		require.NoError(b, err)
	}
}
