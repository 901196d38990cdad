package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// minProgress is the least time between two progress events of a job.
const minProgress = 50 * time.Millisecond

// part is one job of an order: a request.Request on a model.
type part struct {
	o     *order
	index int // in the order
	model request.Model
	req   request.Request // prepared, with the seed drawn
	plan  *pipeline.Planned
	name  *output.Pattern // of files; nil where images go as base64 only
	job   *pipeline.BatchJob
	loras pipeline.LoRAHandle

	mu       sync.Mutex
	reported time.Time
	warned   []string // of the client
	latents  map[int]backend.Tensor
}

// submit makes an order's jobs ready and queues them.
func (e *entry) submit(o *order) {
	var parts []*part
	for i := range o.run.Jobs {
		if o.ctx.Err() != nil {
			o.end(context.Cause(o.ctx), nil)
			return
		}
		p, err := e.prepare(o, i)
		if err != nil {
			if o.msg.kind == typeGenerate {
				o.end(err, nil)
				return
			}
			o.failJob(i, nil, err)
			continue
		}
		parts = append(parts, p)
	}
	o.mu.Lock()
	o.open, o.prepared = len(parts), parts
	o.mu.Unlock()
	o.settle() // what was changed before holds from the first step on
	for _, p := range parts {
		p.queue(e)
	}
	o.mu.Lock()
	o.submitted = true
	first, queued := o.first, slices.Clone(o.parts)
	unwanted := o.unwanted
	o.mu.Unlock()
	for _, u := range unwanted {
		for _, p := range queued {
			if p.index == u[0] {
				p.job.CancelTask(u[1])
			}
		}
	}
	if len(parts) == 0 {
		o.end(first, nil)
		return
	}
	if o.ctx.Err() != nil { // given up between the two
		o.cancelWith(context.Cause(o.ctx))
	}
}

// prepare fills in a job's defaults and reads its inputs.
func (e *entry) prepare(o *order, i int) (*part, error) {
	p := &part{o: o, index: i, model: e.model, latents: map[int]backend.Tensor{}}
	asked := o.run.Jobs[i]
	if asked.Seed < 0 {
		asked.Seed = int64(rand.Uint32())
	}
	var err error
	if p.plan, err = e.batcher.Plan(asked); err != nil {
		return nil, o.placed(i, err)
	}
	p.req = p.plan.Request()
	if err := p.loras.Hold(p.plan); err != nil {
		return nil, err
	}
	if o.msg.deliver.images != "base64" && (p.req.Output != "" || o.msg.deliver.images != "") {
		pattern, err := output.ParsePattern(outputOf(p.req))
		if err != nil {
			return nil, err
		}
		pattern = pattern.Distinct(p.req.NumImages)
		p.name = &pattern
	}
	return p, nil
}

// placed spells the paths of a job's mistakes as they were written.
func (o *order) placed(i int, err error) error {
	var errs request.Errors
	if !errors.As(err, &errs) {
		return err
	}
	out := slices.Clone(errs)
	for k := range out {
		out[k].Path = o.run.Path(i, out[k].Path)
	}
	return out
}

// queue gives a part's pictures to the queue.
func (p *part) queue(e *entry) {
	job, err := e.batcher.TrySubmit(p.plan, pipeline.JobOptions{Name: string(p.o.msg.id), Priority: p.o.msg.priority, Deadline: p.o.msg.deadline,
		OnImage: p.deliver, OnError: func(i int, err error) { p.o.failJob(p.index, &i, err) }, OnProgress: p.progress,
		PreviewEvery: p.o.msg.deliver.previews, PreviewMode: pipeline.PreviewAuto, LoRAs: &p.loras})
	if err != nil {
		p.o.failJob(p.index, nil, err)
		p.ended()
		return
	}
	p.job = job
	p.o.mu.Lock()
	p.o.parts = append(p.o.parts, p)
	p.o.mu.Unlock()
	e.s.active.Go(func() {
		<-job.Done()
		p.warn()
		if err := p.saveLatents(); err != nil {
			p.o.failJob(p.index, nil, err)
		}
		p.ended()
	})
}

// failJob tells of a job, or one picture of it, that failed for good.
func (o *order) failJob(job int, index *int, err error) {
	f := o.s.failureOf(err)
	o.mu.Lock()
	o.failed++
	if o.first == nil {
		o.first = err
	}
	o.mu.Unlock()
	o.emit("failed", failedEvent{Job: job, Index: index, Code: f.code, Message: f.message, ExitCode: f.exit, Fields: f.fields})
}

// ended counts a part as finished; the last one ends the order. Where nothing was made, or everything was given up, that is an error.
func (p *part) ended() {
	o := p.o
	o.mu.Lock()
	o.open--
	last := o.open == 0
	err := o.first
	if o.images > 0 && o.ctx.Err() == nil {
		err = nil
	}
	if o.ctx.Err() != nil && err != nil {
		err = context.Cause(o.ctx)
	}
	o.mu.Unlock()
	if last {
		o.end(err, nil)
	}
}

// warn tells the client of what was done otherwise than it may expect, each thing once for all batches.
func (p *part) warn() {
	for _, text := range p.plan.Warnings() {
		p.mu.Lock()
		known := slices.Contains(p.warned, text)
		if !known {
			p.warned = append(p.warned, text)
		}
		p.mu.Unlock()
		if !known {
			p.o.emit("warning", warningEvent{Job: p.index, Message: text})
		}
	}
}

// progress reports how a batch with pictures of the part goes on.
func (p *part) progress(g pipeline.Progress) {
	p.o.start(p.index)
	p.report(g)
	p.previews(g)
}

// report sends a step, unless the last report was a moment ago.
func (p *part) report(g pipeline.Progress) {
	p.mu.Lock()
	now, last := p.o.s.opts.Now(), g.Stage == pipeline.StageDenoise && g.Step == g.Steps
	quiet := !p.o.msg.deliver.progress || !last && now.Sub(p.reported) < minProgress
	if !quiet {
		p.reported = now
	}
	p.mu.Unlock()
	if quiet || g.Stage == pipeline.StageDone {
		return
	}
	p.o.emit("progress", progressEvent{Job: p.index, Stage: string(g.Stage), Step: g.Step, Steps: g.Steps, Done: g.Done, Total: g.Total,
		Finished: g.Finished, Images: g.Images, Batch: g.Together, Seconds: now.Sub(p.o.began).Seconds(), ETASeconds: g.ETA.Seconds(),
		StepsPerSecond: g.StepsPerSec})
}

// previews sends pictures of how things stand.
func (p *part) previews(g pipeline.Progress) {
	for i, img := range g.Previews {
		data, err := encodeBase64(img, "jpeg", 80)
		if err != nil {
			continue // the picture itself will tell
		}
		size := img.Bounds().Size()
		p.o.emit("preview", previewEvent{Job: p.index, Index: g.Indices[i], Step: g.Step, Format: "jpeg", Width: size.X, Height: size.Y, Data: data})
	}
}
