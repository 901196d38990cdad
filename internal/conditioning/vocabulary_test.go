package conditioning

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// TestVocabularyLists the files of folders that may be embeddings: none of folders below them, and the first of those with one name.
func TestVocabularyLists(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for _, path := range []string{filepath.Join(first, "B.PT"), filepath.Join(first, "a.bin"), filepath.Join(first, "a.safetensors"),
		filepath.Join(first, "notes.txt"), filepath.Join(first, "below", "c.pt"), filepath.Join(second, "b.bin"),
		filepath.Join(second, "d.bin")} {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	}
	v, err := NewVocabulary(nil, []string{first, second}, backend.ModelInfo{})
	require.NoError(t, err)
	var got []string
	for _, f := range v.files {
		got = append(got, f.Path)
	}
	assert.Equal(t, []string{filepath.Join(first, "B.PT"), filepath.Join(first, "a.bin"), filepath.Join(second, "d.bin")}, got)

	_, err = NewVocabulary(nil, []string{filepath.Join(first, "none")}, backend.ModelInfo{})
	require.ErrorIs(t, err, library.ErrNotFound)
	assert.ErrorContains(t, err, "embedding_directories: "+filepath.Join(first, "none"))
}
