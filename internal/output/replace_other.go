//go:build !windows

package output

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/daguerre-go/daguerre/internal/rename"
)

// replace begins the journal anew: a new file with its own lock takes the name in one step. If the old file has other names (hard links),
// they keep it.
func (j *Journal) replace(header any) error {
	f, err := createTemp(filepath.Dir(j.path), j.tempPrefix())
	if err != nil {
		return err
	}
	old := j.f
	j.f = f
	err = lockFile(f)
	if err == nil {
		err = j.append(header)
	}
	if err == nil {
		err = rename.Replace(f.Name(), j.path)
	}
	if err != nil {
		j.f = old
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return old.Close()
}

// discard removes a journal and closes it.
func discard(f *os.File, path string) error { return errors.Join(os.Remove(path), f.Close()) }
