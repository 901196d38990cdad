package bindings

import (
	"errors"
	"fmt"
)

// Code is a dg_status other than DG_OK. It is an error itself, so that
// errors.Is(err, bindings.ErrOutOfMemory) holds for every [Error] with that code.
type Code int32

// The status codes of daguerre.h.
const (
	CodeOK          Code = 0
	CodeArgument    Code = 1 // a caller's mistake: nil, wrong size, unknown enum value
	CodeFile        Code = 2 // a file cannot be opened or read
	CodeFormat      Code = 3 // a file is damaged or of an unknown format
	CodeModel       Code = 4 // tensors are missing, have wrong shapes, or make no known model
	CodeOutOfMemory Code = 5 // a buffer could not be allocated on the device
	CodeDevice      Code = 6 // no such device, or it failed
	CodeCancelled   Code = 7 // SetCancel stopped the call
	CodeUnsupported Code = 8 // valid, but not offered by this model or device
	CodeEngine      Code = 9 // an assertion or exception inside the engine
)

// Error returns the code in words. A code this package does not know is shown with its number.
func (c Code) Error() string {
	switch c {
	case CodeOK:
		return "ok"
	case CodeArgument:
		return "invalid argument"
	case CodeFile:
		return "file not readable"
	case CodeFormat:
		return "damaged or unknown file format"
	case CodeModel:
		return "not a usable model"
	case CodeOutOfMemory:
		return "out of memory"
	case CodeDevice:
		return "device not available"
	case CodeCancelled:
		return "cancelled"
	case CodeUnsupported:
		return "not supported"
	case CodeEngine:
		return "engine failure"
	}
	return fmt.Sprintf("unknown status %d", int32(c))
}

// Sentinels for errors.Is, one for every failing status.
var (
	ErrArgument    error = CodeArgument
	ErrFile        error = CodeFile
	ErrFormat      error = CodeFormat
	ErrModel       error = CodeModel
	ErrOutOfMemory error = CodeOutOfMemory
	ErrDevice      error = CodeDevice
	ErrCancelled   error = CodeCancelled
	ErrUnsupported error = CodeUnsupported
	ErrEngine      error = CodeEngine
)

// ErrClosed is returned by every call on a model that was closed.
var ErrClosed = errors.New("the model is closed")

// Error is a failed call of the library, or an argument this package refused before the call.
type Error struct {
	Code    Code   // what went wrong, for errors.Is with the sentinels
	Op      string // the C function, as "dg_model_open"
	Message string // one sentence from the library; may be empty
}

// Error returns "dg_model_open: no such file: x.safetensors (file not readable)".
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Op + ": " + e.Code.Error()
	}
	return e.Op + ": " + e.Message + " (" + e.Code.Error() + ")"
}

// Unwrap returns the code, which the sentinels are equal to.
func (e *Error) Unwrap() error { return e.Code }

// argumentf returns the error for an argument refused on this side of the boundary.
func argumentf(op, format string, args ...any) error {
	return &Error{Code: CodeArgument, Op: op, Message: fmt.Sprintf(format, args...)}
}
