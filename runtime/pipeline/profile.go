package pipeline

import (
	"errors"
	"fmt"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// SetProfile turns measuring of the model's operations on or off and forgets what was measured. Pictures stay the same, but take
// somewhat longer, and cancelling waits for the evaluation in progress. errors.ErrUnsupported is matched by the error of
// a backend that cannot.
func (p *Pipeline) SetProfile(enabled bool) error {
	profiler, release, err := p.profiler()
	if err != nil {
		return err
	}
	defer release()
	return profiler.SetProfile(enabled)
}

// Profile returns what was measured since SetProfile(true), of all Generates together.
func (p *Pipeline) Profile() ([]backend.ProfileEntry, error) {
	profiler, release, err := p.profiler()
	if err != nil {
		return nil, err
	}
	defer release()
	return profiler.Profile()
}

func (p *Pipeline) profiler() (backend.Profiler, func(), error) {
	release, err := p.use()
	if err != nil {
		return nil, nil, err
	}
	profiler, ok := p.models.Base.Model.(backend.Profiler)
	if !ok {
		release()
		return nil, nil, fmt.Errorf("profiling: %w by this backend", errors.ErrUnsupported)
	}
	return profiler, release, nil
}
