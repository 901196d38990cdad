// Package regular opens the files that users name. All of them are opened here. If the name is a named pipe, a device or a socket, opening
// it could wait for ever, and signals would wait too. So such names are refused.
package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
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
		return nil, nil, err
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
