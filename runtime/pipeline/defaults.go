package pipeline

import (
	"context"
	"errors"
	"log/slog"

	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// defaultBackend is libdaguerre.
func defaultBackend(*slog.Logger) (backend.Backend, error) {
	return nil, errors.New("no native backend yet")
}

// nanoPath unpacks the embedded model where that has not been done yet.
func nanoPath(ctx context.Context) (string, error) { return nano.Path(ctx) }
