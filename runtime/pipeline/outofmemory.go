package pipeline

import (
	"errors"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// OutOfMemory reports whether an error means that memory ran out, so that less at once may go well.
func OutOfMemory(err error) bool { return errors.Is(err, backend.ErrOutOfMemory) }

// trim frees compute buffers, which are made again when they are needed.
func (p *Pipeline) trim() error {
	errs := []error{p.model.ReleaseCompute()}
	if p.taesd != nil {
		errs = append(errs, p.taesd.ReleaseCompute())
	}
	return errors.Join(errs...)
}
