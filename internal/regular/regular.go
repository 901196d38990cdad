// Package regular opens the files that users name. All of them are opened here. If the name is a named pipe, a device or a socket, opening
// it could wait for ever, and signals would wait too. So such names are refused.
package regular

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/daguerre-go/daguerre/internal/words"
)

// Err matches the error of a name that is not a regular file.
var Err = errors.New("not a regular file")

// Error says what a name is, if it is not a regular file.
type Error struct {
	Path string
	Is   string // "a named pipe", "a directory"
}

// Error formats as "path: is a named pipe; name a regular file".
func (e *Error) Error() string { return e.Path + ": is " + e.Is + "; name a regular file" }

// Is matches Err.
func (e *Error) Unwrap() error { return Err }

// Open opens a regular file for reading. It looks at the name before it opens it, and again after, since the file may change in between.
// Opening itself does not wait either. Open waits only for the disk.
func Open(path string) (*os.File, fs.FileInfo, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, nil, Missing(path, err)
	}
	if err := check(path, st); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	if st, err = f.Stat(); err == nil {
		err = check(path, st)
	}
	if err != nil {
		_ = f.Close() // nothing was read
		return nil, nil, err
	}
	return f, st, nil
}

// missing is the error of a name that no file has.
type missing struct {
	text string
	err  error
}

func (e *missing) Error() string { return e.text }
func (e *missing) Unwrap() error { return e.err }

// Missing gives an error of a path that does not exist plain words, with the nearest name that exists. Other errors stay as they are, and
// so does nil.
func Missing(path string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return &missing{path + ": no such file" + Nearest(path), err}
}

// manyEntries bounds the names of a folder that Nearest looks at.
const manyEntries = 10000

// Nearest says what a path that does not exist may have been meant to be: "; did you mean "x.png"?". It says "" if nothing is near.
func Nearest(path string) string {
	path = filepath.Clean(path)
	dir, base := filepath.Split(path)
	f, err := os.Open(cmp.Or(dir, "."))
	if errors.Is(err, fs.ErrNotExist) {
		if first, _, _ := strings.Cut(filepath.ToSlash(dir), "/"); first == "~" {
			return "; ~ is your home folder in a shell only: write its path"
		}
		return fmt.Sprintf("; there is no folder %s either", words.Quote(filepath.Clean(dir)))
	}
	if err != nil {
		return ""
	}
	defer f.Close()
	names, err := f.Readdirnames(manyEntries)
	if err != nil {
		return ""
	}
	slices.Sort(names)
	if st, err := os.Lstat(path); err == nil && st.Mode()&fs.ModeSymlink != 0 {
		target, _ := os.Readlink(path)
		return fmt.Sprintf("; it is a symbolic link to %s, which does not exist", words.Quote(target))
	}
	near := nearest(base, names)
	if near == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", words.Quote(dir+near))
}

// nearest finds the name that is most like base. A name with base's extension is near if what stands before the extension is.
func nearest(base string, names []string) string {
	ext := filepath.Ext(base)
	var stems []string
	for _, n := range names {
		if strings.EqualFold(filepath.Ext(n), ext) {
			stems = append(stems, strings.TrimSuffix(n, filepath.Ext(n)))
		}
	}
	stem := words.Nearest(strings.TrimSuffix(base, ext), stems)
	for _, n := range names {
		same := strings.TrimSuffix(n, filepath.Ext(n))
		if stem != "" && same == stem && strings.EqualFold(filepath.Ext(n), ext) || stem == "" && strings.EqualFold(n, base) {
			return n
		}
	}
	for _, n := range names { // the same name with another extension
		if strings.EqualFold(strings.TrimSuffix(n, filepath.Ext(n)), strings.TrimSuffix(base, ext)) {
			return n
		}
	}
	if ext == "" {
		return words.Nearest(base, names)
	}
	return ""
}

// ReadFile reads a regular file that has at most the given number of bytes.
func ReadFile(path string, most int64) ([]byte, error) {
	f, st, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st.Size() > most {
		return nil, fmt.Errorf("%s: has %d bytes; at most %d are read", path, st.Size(), most)
	}
	return io.ReadAll(io.LimitReader(f, most))
}

func check(path string, st fs.FileInfo) error {
	if st.Mode().IsRegular() {
		return nil
	}
	return &Error{path, Kind(st.Mode())}
}

// Kind says in words what a file is that is not a regular one.
func Kind(m fs.FileMode) string {
	for _, kind := range []struct {
		bit  fs.FileMode
		name string
	}{{fs.ModeSymlink, "a symbolic link"}, {fs.ModeDir, "a directory"}, {fs.ModeNamedPipe, "a named pipe"}, {fs.ModeSocket, "a socket"},
		{fs.ModeDevice, "a device"}} {
		if m&kind.bit != 0 {
			return kind.name
		}
	}
	return "a special file"
}
