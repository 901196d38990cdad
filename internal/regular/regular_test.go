//go:build unix

package regular

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOpen: whatever is no regular file is named, at once, also through a link.
func TestOpen(t *testing.T) {
	t.Chdir(t.TempDir()) // the name of a socket is short
	require.NoError(t, os.WriteFile("file", []byte("hello"), 0o600))
	require.NoError(t, syscall.Mkfifo("pipe", 0o600))
	listen, err := net.Listen("unix", "socket")
	require.NoError(t, err)
	defer listen.Close()
	require.NoError(t, os.Mkdir("folder", 0o700))
	for _, name := range []string{"file", "pipe"} {
		require.NoError(t, os.Symlink(name, "link to "+name))
	}
	for path, is := range map[string]string{"pipe": "a named pipe", "link to pipe": "a named pipe", "socket": "a socket",
		"folder": "a directory", os.DevNull: "a device"} {
		_, _, err := Open(path)
		require.ErrorIs(t, err, Err, path)
		assert.EqualError(t, err, path+": is "+is+"; name a regular file")
	}
	for _, path := range []string{"file", "link to file"} {
		f, st, err := Open(path)
		require.NoError(t, err)
		assert.Equal(t, int64(5), st.Size())
		require.NoError(t, f.Close())
	}
	_, _, err = Open(filepath.Join("folder", "missing"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// TestMissing: a name that no file has is answered with the nearest that is there.
func TestMissing(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"portrait.png", "in.png", "model.safetensors", "folder"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	require.NoError(t, os.Symlink("gone", filepath.Join(dir, "link.png")))
	for name, want := range map[string]string{"potrait.png": "portrait.png", "Portrait.PNG": "portrait.png", "portrait.jpg": "portrait.png",
		"modell.safetensors": "model.safetensors", "none.png": "", "xyzzy.png": "", "foldr": "folder"} {
		_, _, err := Open(filepath.Join(dir, name))
		require.ErrorIs(t, err, fs.ErrNotExist, name)
		assert.Contains(t, err.Error(), name+": no such file")
		if want == "" {
			assert.NotContains(t, err.Error(), "did you mean", name)
		} else {
			assert.Contains(t, err.Error(), `; did you mean "`+filepath.Join(dir, want)+`"?`, name)
		}
	}
	_, _, err := Open(filepath.Join(dir, "no", "such.png"))
	require.ErrorContains(t, err, "there is no folder")
	_, _, err = Open(filepath.Join(dir, "link.png"))
	require.ErrorContains(t, err, "symbolic link")
}

// A shell puts the home folder in the place of ~; nothing else does.
func TestMissingAtHome(t *testing.T) {
	_, err := ReadFile("~/models/x.safetensors", 1)
	require.ErrorContains(t, err, "~/models/x.safetensors: no such file; ~ is your home folder in a shell only: write its path")
}
