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

// withIdle makes models that are open and idle give way to a job, and adds those to its plan that stay.
func (p *Planner) withIdle(plan memory.Plan, job memory.Job) (memory.Plan, error) {
	for _, i := range p.set.Idle() { // a net that the job uses, too, where one component at a time may be in memory
		if plan.Strategy.Staged() && i.Bytes > 0 && job.HasNet(i.Owner) {
			if err := i.Close(); err != nil {
				return plan, err
			}
		}
	}
	for _, b := range plan.Budgets {
		peak, _ := plan.Peak(b.Device)
		room := b.Bytes - b.Need(peak)
		for _, i := range p.idle(job) {
			if i.Device == b.Device {
				room -= i.Bytes
			}
		}
		for _, i := range p.idle(job) {
			if i.Device != b.Device || i.Owner == memory.OwnerModel || room >= 0 { // the VAE in F32 is needed again
				continue
			}
			if err := i.Close(); err != nil {
				return plan, err
			}
			room += i.Bytes
		}
	}
	j := &plan.Jobs[0]
	for _, i := range p.idle(job) {
		j.Breakdown = j.Breakdown.With(memory.Item{Device: i.Device, Owner: i.Owner, Component: i.Component, Use: memory.UseIdle, Bytes: i.Bytes})
	}
	return plan, nil
}

// idle lists the open models that hold something and that a job does not use. Those that it uses are among the parts of its plan.
func (p *Planner) idle(job memory.Job) []models.Idle {
	return slices.DeleteFunc(p.set.Idle(), func(i models.Idle) bool {
		return i.Bytes == 0 || job.HasNet(i.Owner) || i.Owner == memory.OwnerUpscaler && job.Upscale != [2]int{}
	})
}

// markOpen tells which of a model's parts the job before has left open.
func (p *Planner) markOpen(m *memory.Model) {
	if p.set == nil {
		return
	}
	for _, i := range p.set.Idle() {
		for k := range m.Parts {
			part := &m.Parts[k]
			part.Open = part.Open || i.Owner != memory.OwnerModel && part.Owner == i.Owner
		}
	}
}

// choose decides for jobs.
func (p *Planner) choose(ctx context.Context, jobs []memory.Job, force memory.Force) (memory.Plan, error) {
	model, err := p.withNets(jobs)
	if err != nil {
		return memory.Plan{}, err
	}
	p.markOpen(&model)
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
