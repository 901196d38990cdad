package pipeline

import (
	"context"
	"errors"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// jobMemory is what was decided for one Generate.
type jobMemory struct {
	strategy memory.Strategy
	tiling   bool // of the VAE
	separate bool // halves of guidance
}

// MemoryDecision is how a call was made to fit into memory.
type MemoryDecision struct {
	Strategy memory.Strategy `json:"strategy"`
	Batch    int             `json:"batch"`
	// Peaks is the most that the call was to take on each device.
	Peaks  map[string]int64 `json:"peaks,omitempty"`
	Reason string           `json:"reason"` // in a sentence, with what was free
}

// planMemory decides how the call is made to fit into what is free now. Where the backend has no files there is nothing to
// decide but what the configuration forces.
func (j *job) planMemory(ctx context.Context) error {
	p := j.p
	if most := p.config.Memory.MaxBatch; most > 0 {
		j.req.MaxBatch = min(j.req.MaxBatch, most)
	}
	if p.planner == nil {
		return nil
	}
	plan, err := p.planJob(ctx, j.req)
	if err != nil {
		return err
	}
	decided := plan.Jobs[0]
	j.memory = jobMemory{plan.Strategy, decided.Tiling, decided.Separate}
	j.req.MaxBatch = min(j.req.MaxBatch, decided.Batch)
	j.res.Request = j.req
	j.res.Memory = MemoryDecision{Strategy: plan.Strategy, Batch: decided.Batch, Reason: plan.Reason, Peaks: map[string]int64{}}
	for _, b := range plan.Budgets {
		if n, _ := plan.Peak(b.Device); n > 0 {
			j.res.Memory.Peaks[b.Device] = n
		}
	}
	if plan.Strategy != p.held.strategy || decided.NextBatch > 0 {
		p.log.Info("memory of the job", "decision", plan.Reason)
	}
	return nil
}

// planTogether is planMemory for a batch of several jobs' pictures. staged asks for one component at a time, where that is possible yet.
func (j *job) planTogether(ctx context.Context, count int, staged bool) error {
	p := j.p
	if p.planner != nil {
		req := j.req
		req.NumImages, req.MaxBatch = count, count
		plan, err := p.planJob(ctx, req)
		if err != nil {
			return err
		}
		j.memory = jobMemory{plan.Strategy, plan.Jobs[0].Tiling, plan.Jobs[0].Separate}
	}
	if staged && !j.memory.staged() {
		j.memory.strategy.Name = memory.Stage
	}
	for _, m := range j.members {
		m.memory = j.memory
	}
	return nil
}

// MemoryBatch is how many pictures of a request, of at most most, fit into a batch now, and why.
func (p *Pipeline) MemoryBatch(ctx context.Context, req request.Request, most int) (int, string, error) {
	if p.planner == nil {
		return most, "", nil
	}
	req.NumImages, req.MaxBatch = most, most
	plan, err := p.planJob(ctx, req)
	if err != nil {
		return 0, "", err
	}
	return plan.Jobs[0].Batch, plan.Reason, nil
}

// planJob decides for one prepared request on the open model.
func (p *Pipeline) planJob(ctx context.Context, req request.Request) (memory.Plan, error) {
	p.planning.Lock()
	defer p.planning.Unlock()
	end := p.planner.probes.begin(context.WithoutCancel(ctx)) // it takes no time that anybody would have to wait for
	job, err := p.planner.jobOf(req, p.settings)
	if err != nil {
		return memory.Plan{}, errors.Join(err, end())
	}
	job.Prompts = 0 // others' pictures may join
	force := p.planner.force()
	force.Only, force.StreamBytes = p.held.reaches(), p.held.streamBytes
	force.AttentionSlicing = memory.Off // as it was opened
	if p.held.strategy.AttentionSlicing {
		force.AttentionSlicing = memory.On
	}
	if p.held.strategy.Name == memory.Stream {
		force.StreamText = memory.Off
		if p.held.strategy.StreamText {
			force.StreamText = memory.On
		}
	}
	plan, err := p.planner.choose(ctx, []memory.Job{job}, force)
	return plan, errors.Join(err, end())
}

// MemoryStats tells what the pipeline's models hold: of the model itself, then TAESD, the refiner and ControlNets that are open. It does
// not wait for running calls. There are none of a closed pipeline.
func (p *Pipeline) MemoryStats() []backend.MemoryStats {
	release, err := p.use()
	if err != nil {
		return nil
	}
	defer release()
	return p.memoryStats()
}

// memoryStats is MemoryStats for those who use the pipeline already.
func (p *Pipeline) memoryStats() []backend.MemoryStats {
	var out []backend.MemoryStats
	for _, m := range p.models() {
		out = append(out, m.MemoryStats())
	}
	return out
}

// models lists the models that are open, the pipeline's own first.
func (p *Pipeline) models() []backend.Model {
	out := []backend.Model{p.model}
	if p.taesd != nil {
		out = append(out, p.taesd)
	}
	if p.refiner != nil {
		if m := p.refiner.current(); m != nil {
			out = append(out, m)
		}
	}
	if p.controls != nil {
		out = append(out, p.controls.models()...)
	}
	return out
}
