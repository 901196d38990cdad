package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/backend"
	benchmark "github.com/daguerre-go/daguerre/runtime/bench"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// The exit codes of every command. They are part of the command line's contract.
const (
	ExitOK          = 0   // done
	ExitFailure     = 1   // anything that none of the others fits, such as a full disk
	ExitUsage       = 2   // a wrong flag, key or value
	ExitFile        = 3   // a model or input file that is missing, unreadable, damaged or unsuitable
	ExitOutOfMemory = 4   // not enough memory on the device
	ExitNative      = 5   // the native library or the device
	ExitCancelled   = 130 // Ctrl-C or SIGTERM
)

// exitCodesHelp is printed in the help of the program and of commands that compute.
const exitCodesHelp = `EXIT CODES:
   0    done
   1    another failure, such as a full disk
   2    usage or configuration: a wrong flag, key or value
   3    a model or input file that is missing, damaged or unsuitable
   4    out of memory
   5    native library or device
   130  cancelled`

// usageError is a mistake in the arguments or in the configuration.
type usageError struct {
	message string
	command string // whose --help tells more; may be empty
}

func (e *usageError) Error() string {
	if e.command == "" {
		return e.message
	}
	return e.message + "\nSee " + e.command + " --help."
}

func usagef(command, format string, args ...any) error {
	return &usageError{message: fmt.Sprintf(format, args...), command: command}
}

// inputError marks an error about a file that the user named as input.
type inputError struct{ err error }

func (e *inputError) Error() string { return e.err.Error() }
func (e *inputError) Unwrap() error { return e.err }

// outputError marks an error about a place to write to.
type outputError struct{ err error }

func (e *outputError) Error() string { return e.err.Error() }
func (e *outputError) Unwrap() error { return e.err }

// sentinels maps errors to exit codes; the first match counts.
var sentinels = []struct {
	err  error
	code int
}{
	{context.Canceled, ExitCancelled},
	{context.DeadlineExceeded, ExitCancelled},
	{backend.ErrOutOfMemory, ExitOutOfMemory},
	{memory.ErrOverBudget, ExitOutOfMemory},
	{memory.ErrStrategy, ExitUsage},
	{request.ErrInvalid, ExitUsage},
	{output.ErrPattern, ExitUsage},
	{imagefile.ErrFormat, ExitUsage},
	{lora.ErrConfig, ExitUsage},
	{lora.ErrLimit, ExitUsage},
	{library.ErrAmbiguous, ExitUsage},
	{library.ErrNotFound, ExitFile},
	{library.ErrUnreadable, ExitFile},
	{lora.ErrNotFound, ExitFile},
	{lora.ErrFormat, ExitFile},
	{lora.ErrWrongModel, ExitFile},
	{lora.ErrShape, ExitFile},
	{lora.ErrValue, ExitFile},
	{lora.ErrPartial, ExitFile},
	{benchmark.ErrPlan, ExitUsage},
	{benchmark.ErrIncomparable, ExitUsage},
	{benchmark.ErrReport, ExitFile},
	{errRegression, ExitFailure},
	{modelfile.ErrNotFound, ExitFile},
	{modelfile.ErrNotAFile, ExitFile},
	{modelfile.ErrPermission, ExitFile},
	{modelfile.ErrRead, ExitFile},
	{modelfile.ErrTruncated, ExitFile},
	{modelfile.ErrFormat, ExitFile},
	{modelfile.ErrUnsupported, ExitFile},
	{modelfile.ErrLimit, ExitFile},
	{modelfile.ErrUnsafePickle, ExitFile},
	{modelfile.ErrTensor, ExitFile},
	{modelfile.ErrConfig, ExitFile},
}

// exitCode maps an error to the code that the process ends with.
func exitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	if _, ok := errors.AsType[*outputError](err); ok {
		return ExitFailure
	}
	if _, ok := errors.AsType[*service.StoreError](err); ok {
		return ExitFailure
	}
	if _, ok := errors.AsType[*inputError](err); ok {
		return ExitFile
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return ExitUsage
	}
	if child, ok := errors.AsType[*childError](err); ok {
		return child.code
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return s.code
		}
	}
	if _, ok := errors.AsType[*scheduler.NameError](err); ok {
		return ExitUsage
	}
	if _, ok := errors.AsType[*scheduler.OptionError](err); ok {
		return ExitUsage
	}
	if code, ok := nativeExitCode(err); ok {
		return code
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return ExitFile
	}
	return ExitFailure
}
