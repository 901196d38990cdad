package rename

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWriteFile: a file is there whole or not at all, and nothing else is left in its folder.
func TestWriteFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(dir, "file")
	require.NoError(t, WriteFile(path, 0o644, Bytes([]byte("first"))))
	require.NoError(t, WriteFile(path, 0o600, Bytes([]byte("second"))))
	broken := errors.New("broken")
	require.ErrorIs(t, WriteFile(path, 0o644, func(w io.Writer) error {
		_, _ = w.Write([]byte("third"))
		return broken
	}), broken)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "second", string(text))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1)
	assert.Error(t, WriteFile(filepath.Join(path, "below a file"), 0o644, Bytes(nil)))
}
