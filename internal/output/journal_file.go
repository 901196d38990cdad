package output

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/daguerre-go/daguerre/internal/regular"
)

// maxJournal is the largest journal that is read: some million entries.
const maxJournal = 1 << 30

// openOwn opens or makes the file of a journal and takes its lock. If another process has the lock, the error is ErrBusy. If the name is
// not a regular file (for example a symbolic link), it is refused. Neither the link nor its target is touched.
func openOwn(path string) (*os.File, error) {
	const tries = 100
	for range tries {
		st, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		case !st.Mode().IsRegular():
			return nil, fmt.Errorf("%s is %s, and no journal; remove it", path, regular.Kind(st.Mode()))
		}
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|noFollow, 0o666)
		if err != nil {
			return nil, err
		}
		if err := lockFile(f); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", path, ErrBusy), f.Close())
		}
		if stands(f, path) {
			return f, nil
		}
		if err := f.Close(); err != nil { // the process that had the lock has removed or replaced the file
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s: %w", path, ErrBusy)
}

// stands reports whether a name still belongs to an open file, and whether that is a regular file.
func stands(f *os.File, path string) bool {
	opened, err := f.Stat()
	if err != nil || !opened.Mode().IsRegular() {
		return false
	}
	named, err := os.Lstat(path)
	return err == nil && os.SameFile(opened, named)
}

// dropParts removes the files of PartPath.
func (j *Journal) dropParts() {
	dir, prefix := filepath.Dir(j.path), filepath.Base(j.path)+"."
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && e.Type().IsRegular() {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// isPart reports whether a path is one of PartPath.
func (j *Journal) isPart(path string) bool {
	return filepath.Dir(path) == filepath.Dir(j.path) && strings.HasPrefix(filepath.Base(path), filepath.Base(j.path)+".")
}

// isTemp reports whether a path is that of a temporary file of this journal's run, beside another file.
func (j *Journal) isTemp(path, beside string) bool {
	name := filepath.Base(path)
	return filepath.Dir(path) == filepath.Dir(beside) && strings.HasPrefix(name, j.tempPrefix()) && strings.HasSuffix(name, tempSuffix)
}

// readAll reads a journal.
func readAll(f *os.File) ([]byte, error) { return io.ReadAll(io.LimitReader(f, maxJournal)) }
