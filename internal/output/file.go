package output

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/daguerre-go/daguerre/internal/rename"
)

// maxNumber is the highest suffix tried for a name that is taken.
const maxNumber = 99999

// Writer writes whole files. A name that exists is not replaced: the file becomes name-2.png, name-3.png and so on, unless Overwrite is
// set. Even then a file that this Writer wrote itself is never replaced. It is safe for concurrent use; the zero value works.
type Writer struct {
	// Overwrite replaces files that were there before.
	Overwrite bool

	mu      sync.Mutex
	written map[string]bool
}

// Names of files that are being written.
const (
	tempPrefix = ".daguerre-"
	tempSuffix = ".tmp"
)

// Prepare makes the folder of path and checks that a file can be made in it, so that this fails before any work rather than after.
func (w *Writer) Prepare(path string) error {
	dir := filepath.Dir(path)
	if err := checkName(path); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("output folder: %w; choose another with -o", err)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("output %s is a folder; give a file name, for example %s", path, filepath.Join(path, "out.png"))
	}
	f, err := createTemp(dir, tempPrefix)
	if err != nil {
		return fmt.Errorf("output folder cannot be written: %w; choose another with -o", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// Replace writes data under a name that Write returned, in one step, in place of what is there.
func (w *Writer) Replace(path string, data []byte) error {
	_, err := writeTemp(path, tempPrefix, data, func(temp string) (string, error) { return path, rename.Replace(temp, path) })
	return err
}

// Write writes data under path, or a numbered variant of it, and returns the name used. The file appears complete, in one step: its bytes
// go to a temporary file beside it first, which is removed on every error. If the name is a symbolic link, the name is taken. With
// Overwrite the link is replaced; its target stays.
func (w *Writer) Write(path string, data []byte) (final string, err error) {
	return writeTemp(path, tempPrefix, data, func(temp string) (string, error) { return w.place(temp, path, nil) })
}

// WriteNoted is Write with an entry in a journal under a key. Whenever the process is killed, either the journal and the file are both
// there, or the next OpenJournal brings them there, or neither is.
func (w *Writer) WriteNoted(j *Journal, key, path string, data []byte) (final string, err error) {
	sum := sha256.Sum256(data)
	if err := j.noteFolders(filepath.Dir(path)); err != nil {
		return "", err
	}
	e := Entry{Key: key, SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(data)), Replace: w.Overwrite}
	return writeTemp(path, j.tempPrefix(), data, func(temp string) (string, error) {
		return w.place(temp, path, func(name string) error {
			e.Path, e.Temp = name, temp
			return j.note(e)
		})
	})
}

// Taken tells the Writer of a file that belongs to the run already, so that it is not replaced.
func (w *Writer) Taken(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.take(filepath.Clean(path))
}

// take remembers a file, where that is needed for it not to be replaced. The mutex is held.
func (w *Writer) take(name string) {
	if w.Overwrite {
		if w.written == nil {
			w.written = map[string]bool{}
		}
		w.written[name] = true
	}
}

// writeTemp writes data to a temporary file beside path and has place give it its name.
func writeTemp(path, prefix string, data []byte, place func(temp string) (string, error)) (final string, err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	f, err := createTemp(dir, prefix)
	if err != nil {
		return "", err
	}
	defer func() {
		if rmErr := os.Remove(f.Name()); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	return place(f.Name())
}

// createTemp makes a new empty file in dir with the mode an ordinary file would have.
func createTemp(dir, prefix string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, prefix+rand.Text()+tempSuffix), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

// place gives the finished file temp its name. note, where set, is called before with the name, perhaps with several one after the
// other; its error ends it.
func (w *Writer) place(temp, path string, note func(name string) error) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ext := filepath.Ext(path)
	stem := strings.TrimSuffix(path, ext)
	for n := 1; n <= maxNumber; n++ {
		name := numbered(stem, ext, n)
		key := filepath.Clean(name)
		if w.written[key] {
			continue
		}
		var err error
		if note != nil {
			if _, exists := os.Lstat(name); exists == nil && !w.Overwrite {
				continue
			}
			if err := note(name); err != nil {
				return "", err
			}
		}
		if w.Overwrite {
			err = rename.Replace(temp, name)
		} else {
			err = moveNew(temp, name)
		}
		switch {
		case err == nil:
			w.take(key)
			return name, nil
		case !w.Overwrite && errors.Is(err, fs.ErrExist):
			continue
		default:
			return "", err
		}
	}
	return "", fmt.Errorf("%s: %d files of this name exist already; remove some or choose another name", path, maxNumber)
}

// moveNew renames temp to name and fails with fs.ErrExist if name is there: atomically through a
// hard link, and where the file system has none, by reserving the name first.
func moveNew(temp, name string) error {
	err := os.Link(temp, name)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err // the caller removes temp
	}
	reserved, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	if err := errors.Join(reserved.Close(), rename.Replace(temp, name)); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}
