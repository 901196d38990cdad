package pipeline

import (
	"slices"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Inputs prepares a request, as Prepare does, and lists the files that its pictures depend on. These are the files of the open model with
// their configurations, and the files found for the names in the request. Errors are request.Errors.
func (p *Pipeline) Inputs(req request.Request) ([]string, error) {
	prep, err := p.target.Prepare(req)
	if err != nil {
		return nil, err
	}
	return append(slices.Clone(p.files), prep.Files()...), nil
}

// ModelFiles lists the files that the model's weights come from, as they were when it was opened. A backend without files has none.
func (p *Pipeline) ModelFiles() []backend.TableFile { return slices.Clone(p.weights) }

// ModelFiles is Pipeline.ModelFiles for the pipeline that made the result.
func (r *Result) ModelFiles() []backend.TableFile {
	if r.model == nil {
		return nil
	}
	return r.model.ModelFiles()
}
