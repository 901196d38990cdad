package rename

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReplace: a file that another program closes in time is replaced; one that stays open is an error that names it. Elsewhere than on
// Windows an open file is no hindrance.
func TestReplace(t *testing.T) {
	for name, c := range map[string]struct {
		open   string        // what another program has open: "old", "new" or ""
		closes time.Duration // after that; 0: never
		fails  bool          // on Windows
	}{
		"free": {}, "the new name, for a moment": {"new", 50 * time.Millisecond, false}, "the old name, for a moment": {"old", 50 * time.Millisecond, false},
		"the new name, for long": {"new", 0, true}, "the old name, for long": {"old", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for _, file := range []string{"old", "new"} {
				require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(file), 0o600))
			}
			if c.open != "" {
				f, err := os.Open(filepath.Join(dir, c.open))
				require.NoError(t, err)
				if c.closes > 0 {
					time.AfterFunc(c.closes, func() { _ = f.Close() })
				} else {
					defer f.Close()
				}
			}
			err := Replace(filepath.Join(dir, "old"), filepath.Join(dir, "new"))
			if c.fails && runtime.GOOS == "windows" {
				require.ErrorIs(t, err, ErrInUse)
				assert.ErrorContains(t, err, filepath.Join(dir, "new")+": another program has the file open: close it there")
				return
			}
			require.NoError(t, err)
			text, err := os.ReadFile(filepath.Join(dir, "new"))
			require.NoError(t, err)
			assert.Equal(t, "old", string(text))
		})
	}
}

// TestOtherErrors end at once.
func TestOtherErrors(t *testing.T) {
	dir, began := t.TempDir(), time.Now()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "folder", "full"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	require.ErrorIs(t, Replace(filepath.Join(dir, "none"), filepath.Join(dir, "new")), fs.ErrNotExist)
	require.Error(t, Replace(filepath.Join(dir, "file"), filepath.Join(dir, "folder")))
	assert.Less(t, time.Since(began), patience/2)
	wrong := errors.New("wrong")
	require.ErrorIs(t, retry(patience, func() error { return wrong }, "a", "b"), wrong)
}
