package command

import (
	"context"
	"fmt"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/locate"
	"github.com/daguerre-go/daguerre/internal/prepare"
	"github.com/daguerre-go/daguerre/runtime/hub"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// locate puts paths in the place of the names in the run's [model], and fetches what is not here if --pull is given. From then on the run
// is the same whatever is fetched beside it.
func (o *generateOptions) locate(ctx context.Context, env Env, r progress.Reporter) error {
	if o.pull {
		for _, name := range prepare.Names(o.run) {
			if err := pullMissing(ctx, env, r, name); err != nil {
				return err
			}
		}
	}
	run := o.run
	if err := pipeline.Locate(&run); err != nil {
		return blameInput(o.inWords(-1, err))
	}
	for _, m := range changes(o.run.Model.Model, run.Model.Model) {
		r.Report(progress.Note{Message: m})
	}
	o.run = run
	return nil
}

// changes tells which file a name stands for.
func changes(name, path string) []string {
	if name == path {
		return nil
	}
	return []string{fmt.Sprintf("model %s: %s", name, path)}
}

// pullMissing fetches a model that is named and not here. Paths are left alone.
func pullMissing(ctx context.Context, env Env, r progress.Reporter, name string) error {
	if !locate.IsName(name) {
		return nil
	}
	if _, err := locate.Pulled(name); err == nil {
		return nil
	}
	_, err := pull(ctx, env, r, name, hub.Options{})
	return err
}
