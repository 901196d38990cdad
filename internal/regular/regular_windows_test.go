package regular

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOpen: whatever is no regular file is an error, at once.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "Käse 日本.safetensors")
	require.NoError(t, os.WriteFile(file, []byte("hello"), 0o600))
	for _, path := range []string{file, filepath.ToSlash(file), `\\?\` + file} {
		f, st, err := Open(path)
		require.NoError(t, err)
		assert.Equal(t, int64(5), st.Size())
		require.NoError(t, f.Close())
	}
	for _, path := range []string{dir, os.DevNull} {
		_, _, err := Open(path)
		require.ErrorIs(t, err, Err, path)
	}
	_, _, err := Open(filepath.Join(dir, "missing"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, _, err = Open(`\\.\pipe\daguerre-test-none`)
	require.Error(t, err)
}
