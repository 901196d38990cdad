package pipeline

import (
	"context"
	"log/slog"

	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
)

// defaultBackend is libdaguerre, the best variant that works here.
func defaultBackend(log *slog.Logger) (backend.Backend, error) {
	return native.New(native.Options{Logger: log})
}

// nanoPath unpacks the embedded model where that has not been done yet.
func nanoPath(ctx context.Context) (string, error) { return nano.Path(ctx) }
