// Package writer writes model files: the headers of safetensors and GGUF, and whole files that appear under their name
// only when complete. The tensors' bytes are the caller's, written in order after the header.
package writer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/daguerre-go/daguerre/internal/disk"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/rename"
)

// ErrSpace means that the disk has too little room.
var ErrSpace = disk.ErrSpace

// Tensor is one tensor to be written.
type Tensor struct {
	Name  string
	DType modelfile.DType
	Shape []int64 // in PyTorch's order
	Size  int64   // in bytes
}

// FormatOf returns the format that a file's extension stands for; safetensors for one that is unknown.
func FormatOf(path string) modelfile.Format {
	if strings.EqualFold(filepath.Ext(path), ".gguf") {
		return modelfile.FormatGGUF
	}
	return modelfile.FormatSafetensors
}

// Atomically writes a file through a temporary one in the same folder, which write fills and keep may judge before it
// gets its name. Whatever fails, nothing is left behind. keep may be nil.
func Atomically(path string, write func(io.Writer) error, keep func(temporary string) error) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close() // a second time, perhaps
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	if err = write(tmp); err != nil {
		if disk.Full(err) {
			err = fmt.Errorf("%w in %s; free some or name another disk: %w", ErrSpace, filepath.Dir(path), err)
		}
		return err
	}
	if err = tmp.Chmod(0o644); err != nil {
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	if keep != nil {
		if err = keep(tmp.Name()); err != nil {
			return err
		}
	}
	return rename.Replace(tmp.Name(), path)
}
