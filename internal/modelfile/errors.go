package modelfile

import (
	"errors"
	"fmt"

	"golang.org/x/exp/constraints"

	"github.com/daguerre-go/daguerre/internal/words"
)

// The classes of failure, for errors.Is. Every error of this package that is about a file is an
// *Error that matches exactly one of them.
var (
	// ErrNotFound: there is no file or folder of that name.
	ErrNotFound = errors.New("not found")
	// ErrNotAFile: a directory where a file is needed, or a pipe, socket or device.
	ErrNotAFile = errors.New("not a regular file")
	// ErrPermission: the file may not be read by this user.
	ErrPermission = errors.New("permission denied")
	// ErrRead: the operating system reported an error while reading.
	ErrRead = errors.New("read error")
	// ErrTruncated: the file ends before what its header promises.
	ErrTruncated = errors.New("truncated file")
	// ErrFormat: the content is damaged, inconsistent, or of no model format at all.
	ErrFormat = errors.New("bad format")
	// ErrUnsupported: the content is valid, but a variety that is not read here.
	ErrUnsupported = errors.New("unsupported")
	// ErrLimit: the header asks for more than any real model has; see the Max constants.
	ErrLimit = errors.New("limit exceeded")
	// ErrUnsafePickle: a pickle refers to code; it was not run and the file is refused.
	ErrUnsafePickle = errors.New("unsafe pickle")
	// ErrTensor: a tensor is missing, or has the wrong shape or type.
	ErrTensor = errors.New("tensor mismatch")
	// ErrConfig: a configuration value has the wrong type or is out of range.
	ErrConfig = errors.New("bad configuration")
)

// Error says which file failed, where in it, what was found and what to do.
type Error struct {
	Kind   error  // one of the sentinels above
	Path   string // as given by the caller
	Field  string // place in the file: `tensor "x"`, "header length", "unet.norm_num_groups"; may be empty
	Found  string // what is wrong, with the values found
	Remedy string // what would be right or what to do; may be empty
	Cause  error  // an underlying error, or nil
}

// Error formats as "path: field: found; remedy".
func (e *Error) Error() string {
	text := e.Path
	if e.Field != "" {
		text += ": " + e.Field
	}
	text += ": " + e.Found
	if e.Remedy != "" {
		text += "; " + e.Remedy
	}
	return text
}

// Unwrap lets errors.Is match the kind as well as the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

const (
	remedyDownload = "the file is damaged: download it again"
	remedyResave   = "re-save it as .safetensors in the program it came from"
)

// fail builds an Error without a path; Open fills the path in.
func fail(kind error, field, remedy, format string, args ...any) *Error {
	return &Error{Kind: kind, Field: field, Remedy: remedy, Found: fmt.Sprintf(format, args...)}
}

// missing reports that n bytes are not there.
func missing(field string, n int64) *Error {
	return &Error{Kind: ErrTruncated, Field: field, Found: countBytes(n) + " missing", Remedy: "download it again"}
}

func countBytes(n int64) string {
	if n == 1 {
		return "1 byte is"
	}
	return group(n) + " bytes are"
}

// group writes an integer with commas between thousands.
func group[T constraints.Integer](n T) string { return words.Thousands(n) }

// quoteName makes a name from a file fit for one line of an error.
var quoteName = words.Quote

func tensorField(name string) string { return "tensor " + quoteName(name) }

// withPath sets the path of an *Error that has none and wraps any other error as ErrRead.
func withPath(path string, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		if e.Path == "" {
			e.Path = path
		}
		return e
	}
	return &Error{Kind: ErrRead, Path: path, Found: err.Error(), Remedy: "check the disk and try again", Cause: err}
}
