package native

import (
	"context"
	"errors"
	"fmt"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// What can go wrong beside the errors of package backend, for errors.Is.
var (
	ErrFile      = bindings.ErrFile      // a file cannot be opened or read
	ErrFormat    = bindings.ErrFormat    // a file is damaged or of an unknown format
	ErrDevice    = bindings.ErrDevice    // no such device, or it failed
	ErrCancelled = bindings.ErrCancelled // cancelled by the library itself; contexts yield their own error
	ErrEngine    = bindings.ErrEngine    // an assertion or exception inside the engine
	ErrNoLibrary = bindings.ErrNoLibrary // no libdaguerre works here; see LoadError
)

// LoadError is why no library works here, with every attempt.
type LoadError = bindings.LoadError

// Attempt is one file that was tried as the library and what came of it.
type Attempt = bindings.Attempt

// Op names an operation in an [Error].
type Op string

// The operations.
const (
	OpLoad          Op = "loading libdaguerre"
	OpLog           Op = "directing log lines"
	OpDevices       Op = "listing devices"
	OpOpen          Op = "opening the model"
	OpClose         Op = "closing the model"
	OpTokenize      Op = "tokenizing"
	OpQuantize      Op = "converting weights"
	OpEncodeText    Op = "encoding text"
	OpUNet          Op = "evaluating the UNet"
	OpEncodeImage   Op = "encoding an image"
	OpDecodeLatents Op = "decoding latents"
	OpVAEPart       Op = "running a part of the VAE"
	OpEncodeHint    Op = "encoding a control picture"
	OpControlNet    Op = "evaluating the ControlNet"
	OpUpscale       Op = "upscaling"
	OpCompute       Op = "measuring a compute buffer"
	OpRelease       Op = "releasing compute buffers"
	OpProfile       Op = "profiling"
	OpLoRA          Op = "loading an adapter"
	OpMergeLoRA     Op = "merging an adapter"
	OpLoadWeights   Op = "loading weights"
	OpUnload        Op = "freeing weights"
	OpTest          Op = "letting allocations fail"
)

// Error is a failed operation.
type Error struct {
	Op  Op
	Err error // a *bindings.Error, a *modelfile.Error, a *LoadError, ErrClosed or the context's error
}

// Error returns "evaluating the UNet: 2.0 GiB compute buffer on cpu (out of memory)".
func (e *Error) Error() string {
	if status, ok := errors.AsType[*bindings.Error](e.Err); ok && status.Message != "" {
		return fmt.Sprintf("%s: %s (%s)", e.Op, status.Message, status.Code)
	}
	return string(e.Op) + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes the library's statuses and a file's faults match the errors of package backend, and a fault's status its sentinel.
func (e *Error) Is(target error) bool {
	switch target {
	case backend.ErrArgument:
		return errors.Is(e.Err, bindings.ErrArgument)
	case backend.ErrModel:
		if errors.Is(e.Err, bindings.ErrModel) {
			return true
		}
	case backend.ErrUnsupported:
		return errors.Is(e.Err, bindings.ErrUnsupported)
	case backend.ErrOutOfMemory:
		return errors.Is(e.Err, bindings.ErrOutOfMemory)
	case backend.ErrClosed:
		return errors.Is(e.Err, bindings.ErrClosed)
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
func failed(ctx context.Context, op Op, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, bindings.ErrCancelled) && ctx.Err() != nil {
		err = ctx.Err()
	}
	return &Error{Op: op, Err: err}
}

// invalid returns the error for an argument that is refused before native code sees it. It begins with
// the field's name.
func invalid(op Op, field, format string, args ...any) error {
	return status(op, bindings.CodeArgument, field+": "+format, args...)
}

// argument returns what package contract says of an operation's arguments.
func argument(op Op, err error) error { return status(op, bindings.CodeArgument, "%s", err) }

func status(op Op, code bindings.Code, format string, args ...any) error {
	return &Error{Op: op, Err: &bindings.Error{Code: code, Op: string(op), Message: fmt.Sprintf(format, args...)}}
}
