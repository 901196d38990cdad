package command

import (
	"context"
	"errors"
	"slices"

	"github.com/daguerre-go/daguerre/internal/upscale"
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
		pipeline.ErrNotFinite, upscale.ErrNotFinite}},
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
	return Library{Loaded: true, Path: l.Path, Variant: l.Variant, Level: l.Level, Version: l.Version, Engine: l.Engine, Compiler: l.Compiler,
		Features: l.Features, CPUFeatures: l.CPUFeatures, Attempts: attempts(l.Attempts)}
}

func attempts(list []native.Attempt) []Attempt {
	out := make([]Attempt, len(list))
	for i, a := range list {
		out[i] = Attempt{Path: a.Path, Variant: a.Variant, Source: string(a.Source), Outcome: a.Outcome, OK: a.OK}
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

// Trier implements Native.
func (NativeLibrary) Trier() (backend.Trier, error) { return native.New(native.Options{}) }

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

// Native reports on libdaguerre. The program's own one asks runtime/backend/native.
type Native interface {
	// Library loads libdaguerre, if that was not done yet, and reports on it.
	Library() Library
	// Devices lists what the library can compute on.
	Devices(ctx context.Context) ([]backend.Device, error)
	// Trier loads the library, if that was not done yet, to measure devices.
	Trier() (backend.Trier, error)
	// Quantizer loads the library, if that was not done yet, for the conversion of weights.
	Quantizer() (backend.Quantizer, error)
	// Open loads the library, if that was not done yet, and opens a model that is none of a pipeline's.
	Open(ctx context.Context, cfg backend.ModelConfig) (backend.Model, error)
}

// Library is what is known about libdaguerre.
type Library struct {
	Loaded      bool      `json:"loaded"`
	Path        string    `json:"path,omitempty"`
	Variant     string    `json:"variant,omitempty"` // "cpu", "vulkan", "cuda"
	Level       string    `json:"level,omitempty"`   // of instructions, of a released CPU library
	Version     string    `json:"version,omitempty"`
	Engine      string    `json:"engine,omitempty"` // pin of the engine
	Compiler    string    `json:"compiler,omitempty"`
	Features    []string  `json:"features,omitempty"`     // compiled in
	CPUFeatures []string  `json:"cpu_features,omitempty"` // of this CPU
	Attempts    []Attempt `json:"attempts"`
	Error       string    `json:"error,omitempty"`
}

// Attempt is one file that was tried and what came of it.
type Attempt struct {
	Path    string `json:"path"`
	Variant string `json:"variant,omitempty"`
	Source  string `json:"source"` // why it was tried
	Outcome string `json:"outcome"`
	OK      bool   `json:"ok"` // it is in use
}
