package pipeline

import (
	"context"
	"errors"
	"log/slog"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// opening is what Open knows when it comes to reading weights.
type opening struct {
	backend backend.Backend
	config  Config
	plan    openPlan
	jobs    []request.Request
	log     *slog.Logger
}

// open decides how the model's weights are held, and opens it so. Without files there is nothing to plan.
func (o opening) open(ctx context.Context) (backend.Model, *planner, holding, error) {
	if fileless(o.backend) {
		held := holding{strategy: memory.Strategy{Name: forcedStrategy(o.config)}}
		cfg := o.plan.model
		held.apply(&cfg)
		m, err := o.backend.Open(ctx, cfg)
		return m, nil, held, err
	}
	p, err := newPlanner(ctx, o.backend, o.config, o.plan, o.log)
	if p == nil {
		return nil, nil, holding{}, err
	}
	if err != nil {
		return nil, nil, holding{}, errors.Join(err, p.probes.close())
	}
	plan, err := p.planOpen(ctx, o.plan, o.jobs)
	if err != nil {
		return nil, nil, holding{}, errors.Join(err, p.probes.close())
	}
	held := holding{plan.Strategy, plan.StreamBytes}
	p.open = plan.Strategy
	o.log.Info("memory", "decision", plan.Reason)
	cfg := o.plan.model
	held.apply(&cfg)
	m := p.probes.take(memory.OwnerModel, held.strategy.AttentionSlicing)
	if m != nil && held.strategy.Name == memory.Resident {
		err = m.Load(ctx) // open without weights so far
	} else if m == nil || held.strategy.Name != memory.Stage {
		if m != nil {
			err = m.Close()
		}
		if err == nil {
			m, err = o.backend.Open(ctx, cfg)
		}
	}
	if err != nil {
		if m != nil {
			err = errors.Join(err, m.Close())
		}
		return nil, nil, held, errors.Join(err, p.probes.close())
	}
	p.probes.adopt(memory.OwnerModel, held.strategy.AttentionSlicing, m)
	return m, p, held, p.probes.close()
}

// forcedStrategy is the strategy of a configuration that forces one, else that of everything resident.
func forcedStrategy(c Config) string {
	if s := c.Memory.Strategy; s != "" && s != request.StrategyAuto {
		return s
	}
	return memory.Resident
}

// planOpen decides for the jobs that a model is opened for, or for one picture of its own size.
func (p *planner) planOpen(ctx context.Context, plan openPlan, requests []request.Request) (memory.Plan, error) {
	jobs, err := p.jobs(plan, requests)
	if err != nil {
		return memory.Plan{}, err
	}
	return p.choose(ctx, jobs, p.force())
}

// jobs puts requests into the terms of package memory.
func (p *planner) jobs(plan openPlan, requests []request.Request) ([]memory.Job, error) {
	s := plan.settings
	if p.backend != nil {
		m, err := p.probes.model(memory.OwnerModel, false)
		if err != nil {
			return nil, err
		}
		s.adopt(m.Info())
	} else {
		s.adopt(backend.ModelInfo{VAE: backend.VAEInfo{Downscale: p.model.Shapes[memory.OwnerModel].Downscale}})
	}
	if len(requests) == 0 {
		requests = []request.Request{{}}
	}
	var jobs []memory.Job
	for _, r := range requests {
		job, err := p.jobOf(r, s)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, job)
	}
	return jobs, nil
}
