package pipeline

import (
	"errors"

	queue "github.com/daguerre-go/daguerre/runtime/batch"
)

// outOfMemory reports whether an error means that memory ran out, so that less at once may go well.
func outOfMemory(err error) bool { return errors.Is(err, queue.ErrOutOfMemory) }

// trim frees what is computed or read again when it is needed: compute buffers, and adapters that nobody uses.
func (p *Pipeline) trim() error {
	errs := []error{p.model.ReleaseCompute()}
	if p.taesd != nil {
		errs = append(errs, p.taesd.ReleaseCompute())
	}
	return errors.Join(errs...)
}
