package identity

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestChangesAreNoticed(t *testing.T) {
	write := func(t *testing.T, path, text string) {
		t.Helper()
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	for name, c := range map[string]struct {
		do    func(t *testing.T, path string)
		found string // "": it is still the same
	}{
		"nothing":   {func(*testing.T, string) {}, ""},
		"read":      {func(t *testing.T, path string) { _, err := os.ReadFile(path); require.NoError(t, err) }, ""},
		"rewritten": {func(t *testing.T, path string) { write(t, path, "two") }, "was changed"},
		"longer":    {func(t *testing.T, path string) { write(t, path, "longer") }, "was changed"},
		"rewritten, its time set back": {func(t *testing.T, path string) {
			st, err := os.Stat(path)
			require.NoError(t, err)
			write(t, path, "two")
			require.NoError(t, os.Chtimes(path, st.ModTime(), st.ModTime()))
		}, "was changed"},
		"replaced by one of the same time": {func(t *testing.T, path string) {
			st, err := os.Stat(path)
			require.NoError(t, err)
			write(t, path+".new", "two")
			require.NoError(t, os.Chtimes(path+".new", st.ModTime(), st.ModTime()))
			require.NoError(t, os.Rename(path+".new", path))
		}, "was replaced"},
		"removed": {func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }, "was removed"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "m.safetensors")
			write(t, path, "one")
			f, err := os.Open(path)
			require.NoError(t, err)
			id, err := OfFile(f)
			require.NoError(t, err)
			if runtime.GOOS == "windows" { // an open file can neither be removed nor replaced there
				require.NoError(t, f.Close())
			} else {
				defer func() { require.NoError(t, f.Close()) }()
			}
			time.Sleep(20 * time.Millisecond) // longer than the steps of the system's clock
			c.do(t, path)
			err = id.Check(path)
			if c.found == "" {
				require.NoError(t, err)
				if runtime.GOOS != "windows" {
					require.NoError(t, id.CheckFile(f))
				}
				return
			}
			require.ErrorIs(t, err, ErrChanged)
			assert.ErrorContains(t, err, path)
			assert.ErrorContains(t, err, c.found)
			assert.ErrorContains(t, err, "Give the command or the request again")
			if runtime.GOOS != "windows" {
				require.ErrorIs(t, id.CheckFile(f), ErrChanged, "of the open file")
			}
		})
	}
	require.NoError(t, ID{}.Check("nowhere"), "where nothing is known")
}

func TestSame(t *testing.T) {
	a := ID{Size: 1, Modified: 2, Changed: 3, Device: 4, Inode: 5}
	b := a
	b.Inode = 6
	assert.True(t, a.Same(b), "as FAT does")
	a.Changed, b.Changed = 0, 0
	assert.False(t, a.Same(b))
	b.Inode = 0
	assert.True(t, a.Same(b))
}
