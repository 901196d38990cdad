package pipeline

import "github.com/daguerre-go/daguerre/runtime/backend"

// ComputeBytes returns the exact size of the buffer that a stage of the model would allocate, without allocating it.
func (p *Pipeline) ComputeBytes(q backend.ComputeQuery) (int64, error) {
	release, err := p.use()
	if err != nil {
		return 0, err
	}
	defer release()
	return p.model.ComputeBytes(q)
}
