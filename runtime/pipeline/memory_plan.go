package pipeline

import (
	"context"
	"errors"
	"log/slog"

	"github.com/daguerre-go/daguerre/internal/memory"
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
}

// Plan decides how a Pipeline of cfg would make the pictures of jobs, as Open and Generate would now, without reading a weight. Where
// libdaguerre cannot be loaded and no backend is given, it plans for the CPU by formulas. An error that matches memory.ErrOverBudget says what is
// missing; the MemoryPlan then holds the parts. Errors of cfg and jobs are request.Errors.
func Plan(ctx context.Context, cfg Config, jobs []request.Request, opts ...OpenOption) (MemoryPlan, error) {
	var o openOptions
	for _, opt := range opts {
		opt(&o)
	}
	if o.logger == nil {
		o.logger = slog.New(slog.DiscardHandler)
	}
	if o.backend == nil {
		b, err := defaultBackend(o.logger)
		if err == nil {
			o.backend = b
		} else {
			o.logger.Warn("the library cannot be loaded; compute buffers are estimated", "error", err)
		}
	}
	for _, job := range jobs {
		if err := job.Validate(); err != nil {
			return MemoryPlan{}, err
		}
	}
	if o.backend != nil && fileless(o.backend) {
		return MemoryPlan{}, errors.New("this backend reads no files: there is nothing to plan")
	}
	open, err := planOpen(ctx, "model", cfg, false, o.logger)
	if err != nil {
		return MemoryPlan{}, err
	}
	var p *planner
	if o.backend != nil {
		p, err = newPlanner(ctx, o.backend, cfg, open, o.logger)
	} else {
		p, err = newFittedPlanner(cfg, open, o.logger)
	}
	if p == nil {
		return MemoryPlan{}, err
	}
	if p.probes != nil {
		defer func() { _ = p.probes.close() }() // nothing was loaded
	}
	if err != nil {
		return MemoryPlan{}, err
	}
	return p.report(ctx, open, jobs)
}

// report plans jobs and puts together what there is to say.
func (p *planner) report(ctx context.Context, open openPlan, requests []request.Request) (MemoryPlan, error) {
	out := MemoryPlan{Device: p.main, Measured: p.backend != nil, Parts: p.model.Parts}
	var err error
	if out.Sizes, err = p.jobs(open, requests); err != nil {
		return out, err
	}
	model, err := p.addControls(out.Sizes)
	if err != nil {
		return out, err
	}
	out.Parts = model.Parts
	out.Plan, err = p.choose(ctx, out.Sizes, p.force())
	return out, err
}
