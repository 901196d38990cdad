package pipeline

import (
	"context"
	"errors"
	"log/slog"

	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
)

// defaultBackend is libdaguerre: the library that is named, or the best variant that works here.
func defaultBackend(library string, log *slog.Logger) (backend.Backend, error) {
	return native.New(native.Options{LibraryPath: library, Logger: log})
}

// nanoPath unpacks the embedded model where that has not been done yet.
func nanoPath(ctx context.Context) (string, error) { return nano.Path(ctx) }

// deviceFailed reports whether an error of opening a model is the device's fault, so that another one may do better.
func deviceFailed(err error) bool {
	for _, fault := range []error{ErrOverBudget, native.ErrDevice, backend.ErrOutOfMemory, backend.ErrUnsupported, native.ErrEngine} {
		if errors.Is(err, fault) {
			return true
		}
	}
	return false
}
