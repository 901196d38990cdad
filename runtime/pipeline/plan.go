package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/internal/plan"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// MemoryPlan is what Plan found out: how jobs would be run, and what they would take.
type MemoryPlan struct {
	memory.Plan
	// Device is where the UNet would be.
	Device string `json:"device"`
	// Parts are the weights of everything that the jobs use.
	Parts []memory.Part `json:"parts"`
	// Measured tells that compute buffers are the backend's own figures; otherwise formulas were used.
	Measured bool `json:"measured"`
	// Sizes are the jobs as they were planned, defaults filled in.
	Sizes []memory.Job `json:"sizes"`
	// Warnings are what opening the model would warn of, and preparing the jobs.
	Warnings []string `json:"warnings,omitempty"`
}

// Plan decides how a Pipeline of cfg would make the pictures of jobs, as Open and Generate would now, without reading a weight. Where
// libdaguerre cannot be loaded and no backend is given, it plans for the CPU by formulas. An error that matches ErrOverBudget says what is
// missing; the MemoryPlan then holds the parts. Errors of cfg and jobs are request.Errors.
func Plan(ctx context.Context, cfg Config, jobs []request.Request, opts ...OpenOption) (MemoryPlan, error) {
	o := openOptions{logger: slog.New(slog.DiscardHandler)}
	for _, opt := range opts {
		opt(&o)
	}
	if o.backend == nil {
		b, err := defaultBackend(cfg.Library, o.logger)
		if err == nil {
			o.backend = b
		} else {
			o.logger.Warn("the library cannot be loaded; compute buffers are estimated", "error", err)
		}
	}
	if o.backend != nil && models.Fileless(o.backend) {
		return MemoryPlan{}, errors.New("this backend reads no files: there is nothing to plan")
	}
	cfg, err := cfg.located()
	if err != nil {
		return MemoryPlan{}, err
	}
	cfg, choices, err := cfg.tuned(ctx, o.backend, false, o.logger)
	if err != nil {
		return MemoryPlan{}, err
	}
	opening, err := readConfig(ctx, cfg, false, o.logger)
	if err != nil {
		return MemoryPlan{}, err
	}
	opening.choices = choices
	p, err := opening.planner(ctx, o.backend, o.logger)
	defer func() { _ = p.Close() }() // nothing was loaded
	if err != nil {
		return MemoryPlan{}, err
	}
	return opening.report(ctx, p, jobs)
}

// report plans jobs and puts together what there is to say.
func (o opening) report(ctx context.Context, p *plan.Planner, requests []request.Request) (MemoryPlan, error) {
	out := MemoryPlan{Device: p.Device(), Measured: p.Measured(), Warnings: o.warnings}
	sizes, warnings, err := o.plannedJobs(p, requests)
	out.Sizes, out.Warnings = sizes, slices.Concat(o.warnings, warnings)
	if err != nil {
		return out, err
	}
	if out.Parts, err = p.Parts(out.Sizes); err != nil {
		return out, err
	}
	out.Plan, err = p.Choose(ctx, out.Sizes)
	for i := range out.Jobs {
		j := &out.Jobs[i]
		j.Batch = memory.Batches(out.Sizes[i].Images, j.Batch)[0]
	}
	return out, err
}
