//go:build unix

package modelfile

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOpenPaths(t *testing.T) {
	dir := t.TempDir()
	good := write(t, dir, "m.safetensors", stFile(oneTensor, 24))
	link := filepath.Join(dir, "link.safetensors")
	require.NoError(t, os.Symlink(good, link))
	f, err := Open(link)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, f.Close(), "closing again is allowed")
	_, err = f.ReadRaw("a")
	requireError(t, err, ErrRead, "closed")

	_, err = Open(filepath.Join(dir, "absent"))
	requireError(t, err, ErrNotFound, "absent", "no such file")
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = Open(dir)
	requireError(t, err, ErrNotAFile, "directory")

	dangling := filepath.Join(dir, "dangling")
	require.NoError(t, os.Symlink("nowhere", dangling))
	_, err = Open(dangling)
	requireError(t, err, ErrNotFound, "symbolic link", "nowhere")
	loop := filepath.Join(dir, "loop")
	require.NoError(t, os.Symlink(loop, loop))
	_, err = Open(loop)
	requireError(t, err, ErrNotFound, "loop")

	fifo := filepath.Join(dir, "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	_, err = Open(fifo)
	requireError(t, err, ErrNotAFile, "named pipe")
	_, err = Open(os.DevNull)
	requireError(t, err, ErrNotAFile, "device")
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	require.NoError(t, err)
	defer l.Close()
	_, err = Open(filepath.Join(dir, "s"))
	requireError(t, err, ErrNotAFile, "socket")
}
