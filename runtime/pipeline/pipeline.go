package pipeline

import (
	"context"
	"errors"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// ErrClosed is returned by the methods of a Pipeline after Close.
var ErrClosed = errors.New("the pipeline is closed")

// Pipeline is an open model, ready to make pictures. It may be used from several goroutines: every Generate has
// its own state, and their computations take turns on the model.
type Pipeline interface {
	// Generate makes the request's pictures. It checks everything it can before computing: the errors
	// of a bad request are request.Errors. Cancelling ctx stops a computation on the CPU at once, on other
	// devices at its end, and yields ctx.Err(). With any error after that the Result is not nil
	// and holds the pictures already finished.
	Generate(ctx context.Context, req request.Request, opts ...GenerateOption) (*Result, error)
	// Prepare returns req as it would run: inputs read, every default filled in, the seed chosen.
	Prepare(req request.Request) (request.Request, error)
	// Info describes the open model.
	Info() backend.ModelInfo
	// Close frees the model. It waits for running Generates and may be called again.
	Close() error
}
