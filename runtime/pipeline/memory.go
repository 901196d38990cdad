package pipeline

import (
	"context"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/prepare"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// decision is a MemoryDecision with what the stages go by.
type decision struct {
	MemoryDecision
	strategy memory.Strategy
	tiling   bool // of the VAE
	separate bool // halves of guidance
}

// demand is what a decision is about besides a request.
type demand struct {
	images  int // in all
	batch   int // the largest batch
	prompts int // how many requests' prompts differ in a batch
}

// decide decides how pictures of a request are made to fit into what is free now. Where the backend has no files there is nothing to decide
// but what the configuration forces.
func (p *Pipeline) decide(ctx context.Context, prep *prepare.Prepared, d demand) (decision, error) {
	if err := prep.Unchanged(); err != nil { // otherwise the plan would be for another file
		return decision{}, err
	}
	out := decision{strategy: p.holding.Strategy, separate: prep.Request.GuidanceBatch == request.GuidanceSeparate}
	out.Batch, out.Strategy = d.batch, p.holding.Strategy
	if most := p.config.Memory.MaxBatch; most > 0 {
		out.Batch = min(out.Batch, most)
	}
	if p.planner == nil {
		return out, nil
	}
	job, err := p.planner.Job(prep)
	if err != nil {
		return out, err
	}
	job.Images, job.Batch, job.Prompts = d.images, out.Batch, d.prompts
	plan, err := p.planner.Now(ctx, job)
	if err != nil {
		return out, err
	}
	decided := plan.Jobs[0]
	out.strategy, out.tiling, out.separate = plan.Strategy, decided.Tiling, decided.Separate
	out.MemoryDecision = MemoryDecision{Strategy: plan.Strategy, Batch: min(out.Batch, decided.Batch), Reason: plan.Reason,
		Peaks: map[string]int64{}}
	for _, b := range plan.Budgets {
		if n, _ := plan.Peak(b.Device); n > 0 {
			out.Peaks[b.Device] = n
		}
	}
	if plan.Strategy != p.holding.Strategy || decided.NextBatch > 0 {
		p.log.Info("memory of the job", "decision", plan.Reason)
	}
	return out, nil
}
