package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/identity"
	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/internal/regular"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/backend"
	benchmark "github.com/daguerre-go/daguerre/runtime/bench"
	"github.com/daguerre-go/daguerre/runtime/hub"
	"github.com/daguerre-go/daguerre/runtime/install"
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
var exitCodesHelp = sectionOf("@exit codes")

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

// together is one error for several mistakes in the arguments; one of them stays as it is.
func together(command string, list ...error) error {
	list = slices.DeleteFunc(list, func(err error) bool { return err == nil })
	if len(list) < 2 {
		return errors.Join(list...)
	}
	out := &mistakes{command: command}
	for _, err := range list {
		text := err.Error()
		if usage, ok := errors.AsType[*usageError](err); ok {
			text = usage.message
		}
		e := request.Error{Message: text}
		if flag, rest, ok := strings.Cut(text, " "); ok && strings.HasPrefix(flag, "--") {
			e.Path, e.Message = flag, rest
		}
		out.errs = append(out.errs, e)
	}
	return out
}

// inputError marks an error about a file that the user named as input.
type inputError struct{ error }

func (e *inputError) Unwrap() error { return e.error }

// outputError marks an error about a place to write to.
type outputError struct{ error }

func (e *outputError) Unwrap() error { return e.error }

// is reports whether an error has one of a type in it.
func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// marks maps what an error is marked with to exit codes; the first match counts.
var marks = []struct {
	of   func(error) bool
	code int
}{
	{is[*outputError], ExitFailure}, {is[*service.StoreError], ExitFailure}, {is[*inputError], ExitFile}, {is[*usageError], ExitUsage},
}

// sentinels maps errors to exit codes; the first match counts.
var sentinels = []struct {
	code int
	errs []error
}{
	{ExitCancelled, []error{context.Canceled, context.DeadlineExceeded}},
	{ExitOutOfMemory, []error{backend.ErrOutOfMemory, memory.ErrOverBudget}},
	{ExitUsage, []error{memory.ErrStrategy, request.ErrInvalid, output.ErrPattern, imagefile.ErrFormat, lora.ErrConfig, lora.ErrLimit,
		library.ErrAmbiguous}},
	{ExitFile, []error{regular.Err, library.ErrNotFound, library.ErrUnreadable, lora.ErrNotFound, lora.ErrFormat, lora.ErrWrongModel,
		lora.ErrShape, lora.ErrValue, lora.ErrPartial}},
	{ExitUsage, []error{benchmark.ErrPlan, benchmark.ErrIncomparable}},
	{ExitFile, []error{benchmark.ErrReport}},
	{ExitFailure, []error{errRegression, install.ErrDownload, install.ErrWrite, hub.ErrSpace, hub.ErrOffline}},
	{ExitUsage, []error{hub.ErrName}},
	{ExitFile, []error{hub.ErrAccess, hub.ErrUnverified, hub.ErrPickle}},
	{ExitUsage, []error{install.ErrOptions}},
	{ExitFile, []error{install.ErrUnavailable, install.ErrUnverified, install.ErrArchive}},
	{ExitFile, []error{identity.ErrChanged}},
	{ExitFile, []error{modelfile.ErrNotFound, modelfile.ErrNotAFile, modelfile.ErrPermission, modelfile.ErrRead, modelfile.ErrTruncated,
		modelfile.ErrFormat, modelfile.ErrUnsupported, modelfile.ErrLimit, modelfile.ErrUnsafePickle, modelfile.ErrTensor, modelfile.ErrConfig}},
}

// exitCode maps an error to the code that the process ends with.
func exitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	for _, k := range marks {
		if k.of(err) {
			return k.code
		}
	}
	if child, ok := errors.AsType[*childError](err); ok {
		return child.code
	}
	for _, s := range sentinels {
		if slices.ContainsFunc(s.errs, func(e error) bool { return errors.Is(err, e) }) {
			return s.code
		}
	}
	if is[*scheduler.NameError](err) || is[*scheduler.OptionError](err) {
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
