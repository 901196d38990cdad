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
	ErrArgument    Code = 1 // a caller's mistake: nil, wrong size, unknown enum value
	ErrFile        Code = 2 // a file cannot be opened or read
	ErrFormat      Code = 3 // a file is damaged or of an unknown format
	ErrModel       Code = 4 // tensors are missing, have wrong shapes, or make no known model
	ErrOutOfMemory Code = 5 // a buffer could not be allocated on the device
	ErrDevice      Code = 6 // no such device, or it failed
	ErrCancelled   Code = 7 // SetCancel stopped the call
	ErrUnsupported Code = 8 // valid, but not offered by this model or device
	ErrEngine      Code = 9 // an assertion or exception inside the engine
)

var codeTexts = []string{"ok", "invalid argument", "file not readable", "damaged or unknown file format", "not a usable model",
	"out of memory", "device not available", "cancelled", "not supported", "engine failure"}

// Error returns the code in words. A code this package does not know is shown with its number.
func (c Code) Error() string {
	if c < 0 || int(c) >= len(codeTexts) {
		return fmt.Sprintf("unknown status %d", int32(c))
	}
	return codeTexts[c]
}

// ErrClosed is returned by every call on a model that was closed.
var ErrClosed = errors.New("the model is closed")

// Error is a failed call of the library, or an argument this package refused before the call.
type Error struct {
	Code    Code   // what went wrong, for errors.Is with the codes
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

// Unwrap returns the code.
func (e *Error) Unwrap() error { return e.Code }

// argumentf returns the error for an argument refused on this side of the boundary.
func argumentf(op, format string, args ...any) error {
	return &Error{Code: ErrArgument, Op: op, Message: fmt.Sprintf(format, args...)}
}
