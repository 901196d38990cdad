package native

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/internal/contract"
	"github.com/daguerre-go/daguerre/internal/identity"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// What can go wrong beside the errors of package backend, for errors.Is.
var (
	ErrFile      error = bindings.ErrFile      // a file cannot be opened or read
	ErrFormat    error = bindings.ErrFormat    // a file is damaged or of an unknown format
	ErrDevice    error = bindings.ErrDevice    // no such device, or it failed
	ErrCancelled error = bindings.ErrCancelled // cancelled by the library itself; contexts yield their own error
	ErrEngine    error = bindings.ErrEngine    // an assertion or exception inside the engine
	ErrNoLibrary       = bindings.ErrNoLibrary // no libdaguerre works here; see LoadError
)

// LoadError is why no library works here, with every attempt.
type LoadError = bindings.LoadError

// Attempt is one file that was tried as the library and what came of it.
type Attempt = bindings.Attempt

// Operations that are named in several places.
const (
	opOpen      = "opening the model"
	opTokenize  = "tokenizing"
	opQuantize  = "converting weights"
	opText      = "encoding text"
	opUNet      = "evaluating the UNet"
	opVAEPart   = "running a part of the VAE"
	opControl   = "evaluating the ControlNet"
	opResiduals = "residuals on the device"
	opCompute   = "measuring a compute buffer"
	opRelease   = "releasing compute buffers"
	opProfile   = "profiling"
	opLoRA      = "loading an adapter"
	opFeatures  = "features of the UNet"
	opMerge     = "merging an adapter"
	opLoad      = "loading weights"
	opUnload    = "freeing weights"
)

// Error is a failed operation.
type Error struct {
	Op  string
	Err error // a *bindings.Error, a *modelfile.Error, a *LoadError, ErrClosed or the context's error
}

// Error returns "evaluating the UNet: 2.0 GiB compute buffer on cpu (out of memory)".
func (e *Error) Error() string {
	if status, ok := errors.AsType[*bindings.Error](e.Err); ok && status.Message != "" {
		return fmt.Sprintf("%s: %s (%s)", e.Op, status.Message, status.Code)
	}
	return e.Op + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// lostText is in the library's message where a device was lost (native/src/backend/lost.cpp).
const lostText = " was lost: "

// statuses are the library's statuses for the errors of package backend.
var statuses = map[error]error{backend.ErrArgument: bindings.ErrArgument, backend.ErrModel: bindings.ErrModel,
	backend.ErrUnsupported: bindings.ErrUnsupported, backend.ErrOutOfMemory: bindings.ErrOutOfMemory, backend.ErrClosed: bindings.ErrClosed}

// Is makes the library's statuses and a file's faults match the errors of package backend, and a fault's status its sentinel.
func (e *Error) Is(target error) bool {
	if status, ok := statuses[target]; ok && errors.Is(e.Err, status) {
		return true
	}
	if target == backend.ErrDeviceLost { // a device that cannot be opened was never there, unless it was lost while weights were copied
		return errors.Is(e.Err, bindings.ErrDevice) && (e.Op != opOpen || strings.Contains(e.Err.Error(), lostText))
	}
	if errors.Is(e.Err, identity.ErrChanged) {
		return target == ErrFile
	}
	fault, ok := errors.AsType[*modelfile.Error](e.Err)
	if !ok {
		return false
	}
	switch fault.Kind {
	case modelfile.ErrNotFound, modelfile.ErrNotAFile, modelfile.ErrPermission, modelfile.ErrRead:
		return target == ErrFile
	case modelfile.ErrTensor, modelfile.ErrUnsupported:
		return target == backend.ErrModel
	}
	return target == ErrFormat
}

// failed returns err as an operation's error, or nil. If the library says that it was cancelled and
// ctx ended, the cause is the context's error.
func failed(ctx context.Context, op string, err error) error {
	if errors.Is(err, bindings.ErrCancelled) && ctx.Err() != nil {
		err = ctx.Err()
	}
	return wrapped(op, err)
}

// wrapped returns err as an operation's error, or nil.
func wrapped(op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Err: err}
}

// refused returns what package contract says of a call, or nil.
func refused(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, backend.ErrUnsupported):
		return status(op, bindings.ErrUnsupported, "%s", err)
	}
	return status(op, bindings.ErrArgument, "%s", err)
}

// invalid returns the error for an argument that is refused before native code sees it. It begins with
// the field's name.
func invalid(op, field, format string, args ...any) error {
	return refused(op, contract.Invalid(field, format, args...))
}

func status(op string, code bindings.Code, format string, args ...any) error {
	return &Error{Op: op, Err: &bindings.Error{Code: code, Op: op, Message: fmt.Sprintf(format, args...)}}
}
