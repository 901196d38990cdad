package rename

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile makes a file of what fill writes, and the folders above it. The file appears complete, in one step, in place of one that is
// there. On an error nothing of it stays. It is for what can be made again: the bytes are not forced to the disk.
func WriteFile(path string, mode fs.FileMode, fill func(io.Writer) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	err = fill(f)
	if err == nil {
		err = f.Chmod(mode)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = Replace(f.Name(), path)
	}
	return err
}

// Bytes has WriteFile write data.
func Bytes(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}
