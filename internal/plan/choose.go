package plan

import (
	"context"
	"errors"
	"slices"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Choose decides for the jobs that a pipeline is opened for.
func (p *Planner) Choose(ctx context.Context, jobs []memory.Job) (memory.Plan, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.choose(ctx, jobs, p.force())
}

// Opened tells the planner what was decided on and opened: it measures on the base from now on.
func (p *Planner) Opened(set *models.Set, h models.Holding) {
	p.set, p.holding = set, h
	p.probes.adopt(memory.OwnerModel, h.Strategy.AttentionSlicing, set.Base.Model)
}

// Take hands over the base that is open without weights, as a plan needs it; nil where it has to be opened.
func (p *Planner) Take(s memory.Strategy) backend.Model {
	return p.probes.take(memory.OwnerModel, s.AttentionSlicing)
}

// Now decides for one job on the open pipeline. Models that are open and idle give way: what does not fit beside the job is closed, the
// rest is part of the plan.
func (p *Planner) Now(ctx context.Context, job memory.Job) (plan memory.Plan, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probes.begin(context.WithoutCancel(ctx)) // it takes no time that anybody would have to wait for
	defer func() { err = errors.Join(err, p.probes.close()) }()
	s := p.holding.Strategy
	force := p.force()
	force.Only, force.StreamBytes = p.holding.Reaches(), p.holding.StreamBytes
	force.AttentionSlicing = switchOf(s.AttentionSlicing) // as it was opened
	if s.Name == memory.Stream {
		force.StreamText = switchOf(s.StreamText)
	}
	if plan, err = p.choose(ctx, []memory.Job{job}, force); err != nil {
		return plan, err
	}
	return p.withIdle(plan, job)
}

// withIdle closes idle ControlNets that do not fit beside a plan, and adds the others to it.
func (p *Planner) withIdle(plan memory.Plan, job memory.Job) (memory.Plan, error) {
	bytes := p.idle(job)
	for _, b := range plan.Budgets {
		peak, _ := plan.Peak(b.Device)
		if over := bytes - max(b.Bytes-memory.WithMargin(peak), 0); b.Device == p.main && over > 0 {
			if err := p.set.Trim(over); err != nil {
				return plan, err
			}
			bytes = p.idle(job)
		}
	}
	if bytes > 0 {
		j := &plan.Jobs[0]
		j.Breakdown = j.Breakdown.With(memory.Item{Device: p.main, Component: memory.ControlNet, Use: memory.UseIdle, Bytes: bytes})
	}
	return plan, nil
}

// idle is what the ControlNets take that are open and that a job does not use.
func (p *Planner) idle(job memory.Job) (bytes int64) {
	for path, n := range p.set.Idle() {
		if !slices.Contains(job.Controls, path) {
			bytes += n
		}
	}
	return bytes
}

// choose decides for jobs.
func (p *Planner) choose(ctx context.Context, jobs []memory.Job, force memory.Force) (memory.Plan, error) {
	model, err := p.withNets(jobs)
	if err != nil {
		return memory.Plan{}, err
	}
	budgets, err := p.budgets(ctx)
	if err != nil {
		return memory.Plan{}, err
	}
	plan, err := memory.Choose(memory.Problem{Model: model, Jobs: jobs, Budgets: budgets, Force: force, Compute: p.compute})
	var over *memory.OverBudgetError
	if errors.As(err, &over) {
		p.Log.Debug("the run does not fit", "device", over.Device, "smallest", over.Smallest, "budget", over.Budget.Bytes)
	}
	return plan, err
}
