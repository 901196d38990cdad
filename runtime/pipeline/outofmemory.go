package pipeline

import (
	"errors"
	"fmt"

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

// release frees the weights of components that a stage does not need, where the batch is to be made in little memory.
func (j *job) release(components ...string) error {
	if !j.opt.staged {
		return nil
	}
	if err := j.p.model.Unload(components...); err != nil {
		return fmt.Errorf("freeing weights: %w", err)
	}
	return nil
}
