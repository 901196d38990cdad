package command

import (
	"context"
	"errors"
	"slices"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// errNoLibrary is what the doctor ends with where no library could be loaded.
var errNoLibrary = native.ErrNoLibrary

// nativeExitCodes maps the statuses of the library.
var nativeExitCodes = []struct {
	code int
	errs []error
}{
	{ExitFile, []error{native.ErrFile, native.ErrFormat, backend.ErrModel}},
	{ExitUsage, []error{backend.ErrArgument}},
	{ExitCancelled, []error{native.ErrCancelled}},
	{ExitNative, []error{native.ErrNoLibrary, native.ErrDevice, backend.ErrUnsupported, native.ErrEngine, backend.ErrClosed,
		pipeline.ErrNotFinite}},
	{ExitOutOfMemory, []error{pipeline.ErrControlMemory}},
	{ExitFile, []error{pipeline.ErrUnsupportedModel}},
	{ExitNative, []error{errWrongPicture, errDeviceDiffers}},
}

// nativeExitCode maps an error of the library, and those that its results cause.
func nativeExitCode(err error) (int, bool) {
	for _, e := range nativeExitCodes {
		if slices.ContainsFunc(e.errs, func(known error) bool { return errors.Is(err, known) }) {
			return e.code, true
		}
	}
	return ExitNative, is[*native.Error](err)
}

// NativeLibrary is the program's own Native.
type NativeLibrary struct{}

// Library implements Native.
func (NativeLibrary) Library() Library {
	b, err := native.New(native.Options{})
	if err != nil {
		lib := Library{Error: err.Error()}
		if e, ok := errors.AsType[*native.LoadError](err); ok {
			lib.Attempts = attempts(e.Attempts)
		}
		return lib
	}
	l := b.Library()
	return Library{Loaded: true, Path: l.Path, Variant: l.Variant, Version: l.Version, Engine: l.Engine, Compiler: l.Compiler,
		Features: l.Features, CPUFeatures: l.CPUFeatures, Attempts: attempts(l.Attempts)}
}

func attempts(list []native.Attempt) []Attempt {
	out := make([]Attempt, len(list))
	for i, a := range list {
		out[i] = Attempt{Path: a.Path, Variant: a.Variant, Source: a.Source, Outcome: a.Outcome, OK: a.OK}
	}
	return out
}

// Devices implements Native.
func (NativeLibrary) Devices(ctx context.Context) ([]backend.Device, error) {
	b, err := native.New(native.Options{})
	if err != nil {
		return nil, err
	}
	return b.Devices(ctx)
}

// Quantizer implements Native.
func (NativeLibrary) Quantizer() (backend.Quantizer, error) { return native.New(native.Options{}) }

// Open implements Native.
func (NativeLibrary) Open(ctx context.Context, cfg backend.ModelConfig) (backend.Model, error) {
	b, err := native.New(native.Options{})
	if err != nil {
		return nil, err
	}
	return b.Open(ctx, cfg)
}
