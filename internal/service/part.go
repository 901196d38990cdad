package service

import (
	"slices"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// part is one job of a Run in work.
type part struct {
	r     *Run
	index int
	req   request.Request // prepared, with the seed drawn
	plan  *pipeline.Planned
	todo  []int // pictures to be made
	job   *pipeline.BatchJob
	loras pipeline.LoRAHandle

	mu       sync.Mutex
	started  bool
	reported time.Time
	warned   []string               // of the listener
	latents  map[int]backend.Tensor // of the pictures, where the job keeps them
}

// prepare fills in a job's defaults and reads its inputs.
func (r *Run) prepare(i int) (*part, error) {
	plan, err := r.batcher.Plan(r.Jobs[i])
	if err != nil {
		return nil, r.placed(i, err)
	}
	p := &part{r: r, index: i, plan: plan, req: plan.Request(), latents: map[int]backend.Tensor{}}
	if r.Live {
		if err := p.loras.Hold(plan); err != nil {
			return nil, err
		}
	}
	p.todo = p.missing()
	return p, nil
}

// submit gives the part's pictures to the queue.
func (p *part) submit() error {
	r := p.r
	o := pipeline.JobOptions{Name: r.Name, Priority: r.Priority, Deadline: r.Deadline, Indices: p.todo,
		OnImage: p.deliver, OnError: func(i int, err error) { r.fail(p.index, &i, err) }, OnProgress: p.progress,
		PreviewEvery: r.Delivery.Previews, PreviewMode: pipeline.PreviewAuto}
	if r.Live {
		o.LoRAs = &p.loras
	}
	job, err := r.batcher.TrySubmit(p.plan, o)
	r.mu.Lock()
	p.job = job
	r.mu.Unlock()
	if err == nil && r.ctx.Err() != nil { // given up between the two
		job.Cancel()
	}
	return err
}

// finish waits for the part's pictures and keeps what is kept at its end; err is why it was not queued.
func (p *part) finish(err error) {
	if err != nil {
		p.r.fail(p.index, nil, err)
	}
	if p.job != nil {
		<-p.job.Done()
		err = p.job.Err()
	}
	p.warn()
	if kept := p.saveLatents(); kept != nil {
		p.r.fail(p.index, nil, kept)
		err = kept
	}
	p.r.emit(JobEnded{p.index, err})
}

// warn tells of what was done otherwise than one may expect, each thing once for all batches.
func (p *part) warn() {
	for _, text := range p.plan.Warnings() {
		p.mu.Lock()
		known := slices.Contains(p.warned, text)
		if !known {
			p.warned = append(p.warned, text)
		}
		p.mu.Unlock()
		if !known {
			p.r.emit(Warning{p.index, text})
		}
	}
}

// start tells, once, that the part is begun with.
func (p *part) start() {
	if !p.started {
		p.started = true
		p.r.emit(Started{p.index, &p.req})
	}
}

// progress tells how a batch with pictures of the part goes on. Calls do not overlap.
func (p *part) progress(g pipeline.Progress) {
	p.start()
	d, now := p.r.Delivery, p.r.Now()
	last := g.Stage == pipeline.StageDone || g.Stage == pipeline.StageDenoise && g.Step == g.Steps
	if !d.Quiet && (last || now.Sub(p.reported) >= d.Every) {
		p.reported = now
		p.r.emit(Progress{p.index, g})
	}
	for i, img := range g.Previews {
		e := Preview{Job: p.index, Index: g.Indices[i], Step: g.Step, Image: img}
		if p.stored() {
			e.Name, _ = p.names().Picture(p.index, p.req, e.Index, g.Seeds[i]) // the picture itself will tell
		}
		p.r.emit(e)
	}
}
