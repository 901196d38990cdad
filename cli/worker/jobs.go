package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/cli/output"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/batch"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// minProgress is the least time between two progress events of a job.
const minProgress = 50 * time.Millisecond

// part is one job of an order: a request.Request on a model.
type part struct {
	o     *order
	index int // in the order
	pipe  *pipeline.Pipeline
	model request.Model
	req   request.Request // prepared, with the seed drawn
	plan  *pipeline.Result
	name  *output.Pattern // of files; nil where images go as base64 only
	job   *batch.Job[task, pipeline.Image]

	mu       sync.Mutex
	loras    *pipeline.LoRAHandle // of the batch that runs; nil: none does
	changes  []loraChange         // to apply to every later batch
	reported time.Time
	finished int      // pictures
	warned   []string // of the client
	latents  map[int]backend.Tensor
}

// loraChange is what a client wants of an adapter of a running job.
type loraChange struct {
	name  string
	apply func(*lora.Adapter)
}

// task is what the queue holds: one picture of a part.
type task struct {
	part  *part
	index int
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
	o.open = len(parts)
	o.mu.Unlock()
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
	p := &part{o: o, index: i, pipe: e.pipe, model: e.model, latents: map[int]backend.Tensor{}}
	asked := o.run.Jobs[i]
	if asked.Seed < 0 {
		asked.Seed = int64(rand.Uint32())
	}
	var err error
	if p.req, err = e.pipe.Prepare(asked); err != nil {
		return nil, o.placed(i, err)
	}
	if o.msg.deliver.images != "base64" && (p.req.Output != "" || o.msg.deliver.images != "") {
		pattern, err := output.ParsePattern(outputOf(p.req))
		if err != nil {
			return nil, err
		}
		pattern = pattern.Distinct(p.req.NumImages)
		p.name = &pattern
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	p.plan, err = e.pipe.Generate(cancelled, p.req) // which tells how the pictures will be made, without making them
	if p.plan == nil {
		return nil, o.placed(i, err)
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
	spec := batch.Spec[task, pipeline.Image]{Name: string(p.o.msg.id), Priority: p.o.msg.priority, Deadline: p.o.msg.deadline,
		OnResult: p.deliver, OnError: func(i int, err error) { p.o.failJob(p.index, &i, err) }}
	for i := range p.req.NumImages {
		spec.Tasks = append(spec.Tasks, batch.Task[task]{Key: fmt.Sprintf("%p", p), Steps: p.req.NumInferenceSteps,
			Label: fmt.Sprintf("%dx%d, %d steps", p.req.Width, p.req.Height, p.req.NumInferenceSteps),
			Cost:  float64(p.req.NumInferenceSteps) * float64(p.req.Width*p.req.Height) / (1 << 20), Value: task{p, i}})
	}
	job, err := e.manager.TrySubmit(spec)
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

// computer runs batches of pictures on an entry's model.
type computer struct{ e *entry }

// Name implements batch.Runner.
func (c *computer) Name() string { return c.e.name }

// Budget implements batch.Runner: what the request asks for, or about a megapixel.
func (c *computer) Budget(_ context.Context, task batch.Task[task]) batch.Budget {
	n := task.Value.part.req.MaxBatch
	return batch.Budget{Max: n, Why: fmt.Sprintf("max_batch is %d", n)}
}

// Run implements batch.Runner. All pictures of a batch belong to one part; each run of consecutive ones is one call of Generate.
func (c *computer) Run(ctx context.Context, b *batch.Batch[task, pipeline.Image]) error {
	c.e.s.computing.Lock()
	defer c.e.s.computing.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for at := 0; at < b.Len(); {
		n := 1
		for at+n < b.Len() && b.Task(at+n).Value.index == b.Task(at).Value.index+n {
			n++
		}
		first := b.Task(at).Value
		if err := first.part.compute(ctx, first.index, n, func(i int, img pipeline.Image) { b.Deliver(at+i, img) }, b.Step); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// Trim implements batch.Runner.
func (c *computer) Trim(context.Context) error { return nil }

// Memory implements batch.Runner.
func (c *computer) Memory() batch.Usage { return batch.Usage{} }

// MaxRelief implements batch.Runner.
func (c *computer) MaxRelief() batch.Relief { return batch.ReliefNone }

// compute makes n pictures of the part from index first on.
func (p *part) compute(ctx context.Context, first, n int, deliver func(int, pipeline.Image), step func(int)) error {
	p.o.start(p.index)
	req := p.req
	req.Seed += int64(first)
	req.Noise, req.Latents = rows(req.Noise, first, n, req.NumImages), rows(req.Latents, first, n, req.NumImages)
	req.NumImages, req.MaxBatch = n, n
	handle := &pipeline.LoRAHandle{}
	options := []pipeline.GenerateOption{
		pipeline.WithLoRAs(handle),
		pipeline.WithImages(func(img pipeline.Image) error {
			i := img.Index
			img.Index += first
			deliver(i, img)
			return ctx.Err()
		}),
		pipeline.WithProgress(func(g pipeline.Progress) {
			if g.Stage == pipeline.StageDenoise {
				if g.Step == 0 {
					p.attach(handle)
				}
				step(g.Step)
			}
			p.progress(g, n)
			p.previews(g, first)
		}),
	}
	if every := p.o.msg.deliver.previews; every > 0 {
		options = append(options, pipeline.WithPreview(every, pipeline.PreviewAuto))
	}
	defer p.attach(nil)
	out, err := p.pipe.Generate(ctx, req, options...)
	if out != nil {
		p.warn(out.Warnings)
	}
	return err
}

// warn tells the client of what was done otherwise than it may expect, each thing once for all batches.
func (p *part) warn(texts []string) {
	for _, text := range texts {
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

// rows cuts the rows of a batch out of an array that has one for each picture.
func rows(a request.Array, first, n, of int) request.Array {
	if a.Data == nil || len(a.Shape) != 4 || a.Shape[0] != of || of == 1 {
		return a
	}
	row := len(a.Data) / of
	shape := slices.Clone(a.Shape)
	shape[0] = n
	return request.Array{Path: a.Path, Shape: shape, Data: a.Data[first*row:][:n*row]}
}

// attach makes a running batch's adapters changeable, and applies to them what was asked for before.
func (p *part) attach(h *pipeline.LoRAHandle) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loras = h
	if h == nil {
		return
	}
	for _, c := range p.changes {
		_ = h.Update(c.name, c.apply) // it was applied without an error before
	}
}

// progress reports a step, unless the last report was a moment ago.
func (p *part) progress(g pipeline.Progress, batch int) {
	p.mu.Lock()
	now, last := p.o.s.opts.Now(), g.Stage == pipeline.StageDenoise && g.Step == g.Steps
	quiet := !p.o.msg.deliver.progress || !last && now.Sub(p.reported) < minProgress
	if !quiet {
		p.reported = now
	}
	finished := p.finished
	p.mu.Unlock()
	if quiet || g.Stage == pipeline.StageDone {
		return
	}
	p.o.emit("progress", progressEvent{Job: p.index, Stage: string(g.Stage), Step: g.Step, Steps: g.Steps,
		Done: finished*g.Steps + g.Step*batch, Total: p.req.NumImages * g.Steps, Finished: finished, Images: p.req.NumImages, Batch: batch,
		Seconds: now.Sub(p.o.began).Seconds(), ETASeconds: g.ETA.Seconds(), StepsPerSecond: g.StepsPerSec})
}

// previews sends pictures of how things stand.
func (p *part) previews(g pipeline.Progress, first int) {
	for i, img := range g.Previews {
		data, err := encodeBase64(img, "jpeg", 80)
		if err != nil {
			continue // the picture itself will tell
		}
		size := img.Bounds().Size()
		p.o.emit("preview", previewEvent{Job: p.index, Index: first + g.First + i, Step: g.Step, Format: "jpeg", Width: size.X, Height: size.Y, Data: data})
	}
}
