package native

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Options choose the library and where its log lines go. The zero value takes the best library that
// works here and logs nothing.
type Options struct {
	// LibraryPath is the library's file, or a folder with one file per variant; nothing else is tried
	// then. "" means $DAGUERRE_LIBRARY, with the same rule, then the usual places (bindings.Find lists them).
	LibraryPath string
	// Variant is "cuda", "vulkan" or "cpu"; "" takes the best.
	Variant string
	// Logger receives the library's lines at its own levels. The library has one destination: the
	// last backend that was made with a logger has it.
	Logger *slog.Logger
}

// Backend computes on libdaguerre. Make one with [New]; it holds nothing that must be closed.
type Backend struct {
	lib  *bindings.Library
	read func(backend.Files) (*backend.Table, error)
}

var _ backend.Backend = (*Backend)(nil)

// New loads the library, at its first call in the process, and returns a backend on it. A process has
// one library: asking for another later is an error. If none works, the error holds a [*LoadError].
func New(o Options) (*Backend, error) {
	lib, err := bindings.Load(bindings.Options{Path: o.LibraryPath, Variant: o.Variant})
	if err != nil {
		return nil, wrapped("loading libdaguerre", err)
	}
	return newBackend(lib, o.Logger)
}

func newBackend(lib *bindings.Library, logger *slog.Logger) (*Backend, error) {
	b := &Backend{lib: lib, read: readTable}
	if logger == nil {
		return b, nil
	}
	return b, wrapped("directing log lines", logTo(lib, logger))
}

// Library describes the library in use.
type Library struct {
	Path        string    `json:"path"`
	Variant     string    `json:"variant"` // "cpu", "vulkan" or "cuda"
	Level       string    `json:"level"`   // of instructions, of a released CPU library: "avx2"; else ""
	Version     string    `json:"version"`
	Engine      string    `json:"engine"` // pin of the engine
	Compiler    string    `json:"compiler"`
	Features    []string  `json:"features"`     // compiled in
	CPUFeatures []string  `json:"cpu_features"` // of this CPU
	Attempts    []Attempt `json:"attempts"`     // what was tried, in order
}

// Library describes the library in use and what else was tried. The value is the caller's.
func (b *Backend) Library() Library { return describe(b.lib) }

func describe(lib *bindings.Library) Library {
	info := lib.BuildInfo()
	return Library{
		Path: lib.Path(), Variant: info.Variant.String(), Level: lib.Level(), Version: info.Version.String(),
		Engine: info.Engine.String(), Compiler: info.Compiler.String(),
		Features: strings.Fields(info.Features.String()), CPUFeatures: strings.Fields(info.CPUFeatures.String()),
		Attempts: lib.Attempts(),
	}
}

// LiveModels returns the number of models opened through the library and not closed, of all backends
// of this process.
func (b *Backend) LiveModels() int { return int(b.lib.LiveHandles()) }

// Devices lists what can be computed on, with free memory as of now.
func (b *Backend) Devices(ctx context.Context) ([]backend.Device, error) {
	const op = "listing devices"
	if err := ctx.Err(); err != nil {
		return nil, wrapped(op, err)
	}
	infos, err := b.lib.Devices()
	if err != nil {
		return nil, wrapped(op, err)
	}
	devices := make([]backend.Device, len(infos))
	for i, d := range infos {
		devices[i] = backend.Device{
			ID: d.ID.String(), Description: d.Description.String(), Kind: named[backend.DeviceKind](bindings.DeviceKinds, d.Kind),
			Software: d.IsSoftware != 0, TotalBytes: d.TotalBytes, FreeBytes: d.FreeBytes,
			Driver: d.Driver.String(), MaxTensorBytes: d.MaxTensorBytes, MaxBufferBytes: d.MaxBufferBytes,
		}
	}
	return devices, nil
}

// Tokenize returns CLIP's token ids of text, without start, end and padding. It needs no model and is
// safe for concurrent use. Text that is not UTF-8 is an error.
func (b *Backend) Tokenize(text string) ([]int32, error) {
	normal, err := normalize(text)
	if err != nil {
		return nil, err
	}
	ids, err := b.lib.Tokenize(normal)
	return ids, wrapped(opTokenize, err)
}

// Open reads, checks and loads all components of a model. Names and numbers in cfg are checked first. What is wrong with a file is a
// *modelfile.Error within an [Error].
// Cancelling ctx stops loading at the next tensor; the error is then ctx's and nothing stays loaded.
func (b *Backend) Open(ctx context.Context, cfg backend.ModelConfig) (backend.Model, error) {
	if err := ctx.Err(); err != nil {
		return nil, wrapped(opOpen, err)
	}
	params, err := modelParams(cfg)
	if err != nil {
		return nil, err
	}
	if err := b.checkDevices(ctx, cfg); err != nil {
		return nil, err
	}
	table, err := b.tableOf(cfg)
	if err == nil {
		err = addTable(table, &params)
	}
	if err != nil {
		return nil, failed(ctx, opOpen, err)
	}
	if params.CacheFolder != "" {
		if params.CacheBuild = libraryBuild(b.lib); params.CacheBuild == "" {
			params.CacheFolder = "" // nothing would tell it from another build
		}
	}
	params.Cancel = new(int32)
	stop := context.AfterFunc(ctx, func() { atomic.StoreInt32(params.Cancel, 1) })
	defer stop()
	handle, err := b.lib.OpenModel(params)
	if err != nil {
		return nil, failed(ctx, opOpen, err)
	}
	m, err := newModel(b, cfg, table, handle)
	if err != nil {
		return nil, errors.Join(err, handle.Close())
	}
	return m, nil
}
