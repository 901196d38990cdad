// Package identity tells whether a name still has the same file with the same contents. Weights and other inputs are read more than once,
// and two files of one name must not be mixed.
package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// ErrChanged matches the error of a file that has changed.
var ErrChanged = errors.New("the file is not what it was")

// ID identifies a version of a file without reading it: another file, or the file after a change, has another ID. No file has the zero
// value.
type ID struct {
	Size     int64  `json:"size"`
	Modified int64  `json:"modified"`          // the contents: nanoseconds since 1970, as Changed
	Changed  int64  `json:"changed,omitempty"` // contents, names or mode; 0 where the system does not tell
	Device   uint64 `json:"-"`                 // with Inode; 0 if the system does not tell. It may differ after a restart of the system
	Inode    uint64 `json:"-"`
}

// Of returns the identity of the file that a name stands for. Links are followed.
func Of(path string) (ID, error) { return ofPath(path) }

// OfFile returns the identity of an open file.
func OfFile(f *os.File) (ID, error) { return ofFile(f) }

// Key is equal for identities that are the Same.
func (id ID) Key() ID {
	if id.Changed != 0 {
		id.Device, id.Inode = 0, 0
	}
	return id
}

// IsZero reports whether nothing is known.
func (id ID) IsZero() bool { return id == ID{} }

// Same reports whether two identities belong to one file that nobody wrote to in between. The time of the last change shows a replaced
// file, too: the rename sets it, and nobody can set it back. Inode numbers are compared only if there is no such time, since some file
// systems (FAT, exFAT) give the same file a new number after a while.
func (id ID) Same(other ID) bool {
	if id.Size != other.Size || id.Modified != other.Modified {
		return false
	}
	if id.Changed != 0 && other.Changed != 0 {
		return id.Changed == other.Changed
	}
	return id.sameInode(other)
}

func (id ID) sameInode(other ID) bool {
	return id.Inode == 0 || other.Inode == 0 || id.Inode == other.Inode && id.Device == other.Device
}

// Error says that a file has changed, and how.
type Error struct {
	Path  string
	Found string // "was replaced by another file"
}

// Error names the file and the remedy.
func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s since it was opened. Give the command or the request again; in a worker, unload the model and load it again. "+
		"Weights of two files are never mixed", e.Path, e.Found)
}

// Unwrap makes errors.Is find ErrChanged.
func (e *Error) Unwrap() error { return ErrChanged }

// Check returns an error if a file is not the one of id. If id is zero, it returns nil. Errors are *Error or come from the system.
func (id ID) Check(path string) error {
	if id.IsZero() {
		return nil
	}
	now, err := Of(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &Error{path, "was removed"}
	case err != nil:
		return err
	}
	return id.Compare(path, now)
}

// CheckFile is Check for a file that is open.
func (id ID) CheckFile(f *os.File) error {
	if id.IsZero() {
		return nil
	}
	now, err := OfFile(f)
	if err != nil {
		return err
	}
	return id.Compare(f.Name(), now)
}

// Compare is Check for a file whose identity now is known.
func (id ID) Compare(path string, now ID) error {
	switch {
	case id.Same(now):
		return nil
	case !id.sameInode(now):
		return &Error{path, "was replaced by another file"}
	}
	return &Error{path, "was changed"}
}
