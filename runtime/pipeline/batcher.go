package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/internal/queue"
	"github.com/daguerre-go/daguerre/internal/steps"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// BatcherOptions configures a Batcher. The zero value works.
type BatcherOptions struct {
	QueueLimit int              // the largest number of pictures that wait; 0: 10,000
	MaxBatch   int              // the largest batch; 0: 16
	Retry      Retry            // of single pictures that fail
	OnEvent    func(BatchEvent) // told what the queue does; it must be quick
	// Budget says how many pictures of a request fit into a batch on a pipeline; nil: about a megapixel together. A request's
	// own max_batch goes before it.
	Budget func(p *Pipeline, plan *Planned) BatchBudget
	// Memory measures what is in use and how much may be; nil: nothing is measured, and batches are not sized by it.
	Memory func() MemoryUsage
	Paused bool // nothing is computed until Resume
	// Exclusive, where set, returns what is held while a batch is computed on a device, so that several Batchers, of several models, take
	// turns.
	Exclusive func(device string) sync.Locker
}

// Batcher makes the pictures of any number of requests, in batches across requests, on one or more open pipelines. Pictures do not depend
// on what they are computed with. Its methods may be called from any goroutine. Besides its own it has those of a queue: Pause and Resume,
// Drain, Snapshot and Close.
type Batcher struct {
	*queue.Manager[Picture, Image]
	pipes []*Pipeline
}

// BatchJob is a submitted request.
type BatchJob = queue.Job[Picture, Image]

// NewBatcher makes a Batcher on pipelines that have the same model open, on one device each. The caller closes the Batcher
// before the pipelines.
func NewBatcher(opts BatcherOptions, pipes ...*Pipeline) *Batcher {
	b := &Batcher{pipes: pipes}
	var runners []queue.Runner[Picture, Image]
	for i, p := range pipes {
		runners = append(runners, &runner{p: p, name: runnerName(i, p), opts: opts})
	}
	b.Manager = queue.New(queue.Options{QueueLimit: opts.QueueLimit, MaxBatch: opts.MaxBatch, Retry: opts.Retry, OnEvent: opts.OnEvent,
		Paused: opts.Paused}, runners...)
	return b
}

// runnerName is the device a pipeline computes on, numbered after the first.
func runnerName(i int, p *Pipeline) string {
	name := models.DeviceOf(p.models.Base.Info)
	if i > 0 {
		name += fmt.Sprintf("#%d", i+1)
	}
	return name
}

// Plan prepares a request for Submit. Errors are request.Errors.
func (b *Batcher) Plan(req request.Request) (*Planned, error) { return b.pipes[0].Plan(req) }

// Submit queues the pictures of a request. If the queue is full, it waits until there is room or ctx ends. Cancelling ctx later does
// not touch the job. Tasks of the BatchJob are numbered as in o.Indices.
func (b *Batcher) Submit(ctx context.Context, plan *Planned, o JobOptions) (*BatchJob, error) {
	return b.submit(plan, o, func(s queue.Spec[Picture, Image]) (*BatchJob, error) { return b.Manager.Submit(ctx, s) })
}

// TrySubmit is Submit without waiting: if there is no room in the queue, it returns ErrQueueFull.
func (b *Batcher) TrySubmit(plan *Planned, o JobOptions) (*BatchJob, error) {
	return b.submit(plan, o, b.Manager.TrySubmit)
}

func (b *Batcher) submit(plan *Planned, o JobOptions, to func(queue.Spec[Picture, Image]) (*BatchJob, error)) (*BatchJob, error) {
	if o.LoRAs == nil || len(plan.prep.Adapters.Enabled()) == 0 {
		return to(b.spec(plan, o, nil))
	}
	held, err := o.LoRAs.submit(plan)
	if err != nil {
		return nil, err
	}
	job, err := to(b.spec(plan, o, held))
	if err != nil {
		o.LoRAs.submitted(held, nil)
		return nil, err
	}
	o.LoRAs.submitted(held, job.Done())
	return job, nil
}

func (b *Batcher) spec(plan *Planned, o JobOptions, held *heldLoRAs) queue.Spec[Picture, Image] {
	indices := o.Indices
	if indices == nil {
		indices = make([]int, plan.prep.Request.NumImages)
		for i := range indices {
			indices[i] = i
		}
	}
	t := newTrack(plan, o, len(indices))
	t.held = held
	spec := queue.Spec[Picture, Image]{Name: o.Name, Owner: o.Owner, Priority: o.Priority, Deadline: o.Deadline,
		OnResult: func(_ int, img Image) error {
			if o.OnImage != nil {
				if err := o.OnImage(img); err != nil {
					return err
				}
			}
			t.finished(img.Index)
			return nil
		}}
	prefix := ""
	if o.PreviewEvery > 0 {
		prefix = fmt.Sprintf("previews %d %s ", o.PreviewEvery, o.PreviewMode)
	}
	if held != nil {
		prefix = fmt.Sprintf("%p %s", t, prefix)
	}
	if o.OnError != nil {
		spec.OnError = func(i int, err error) { o.OnError(indices[i], err) }
	}
	r := &plan.prep.Request
	cost := float64(plan.prep.AllSteps()) * float64(r.Width*r.Height) / (1 << 20)
	for _, index := range indices {
		one := plan.of(index)
		spec.Tasks = append(spec.Tasks, queue.Task[Picture]{Key: prefix + one.key, Label: one.label, Steps: plan.prep.AllSteps(),
			Batch: plan.prep.AskedBatch, Cost: cost, Value: Picture{Plan: one, Index: index, track: t}})
	}
	return spec
}

// runner computes a Batcher's batches on one pipeline.
type runner struct {
	p    *Pipeline
	name string
	opts BatcherOptions
}

// Name implements queue.Runner.
func (r *runner) Name() string { return r.name }

// Budget implements queue.Runner: the request's own max_batch, else the Batcher's budget, else about a megapixel, as far as
// memory is planned to suffice.
func (r *runner) Budget(ctx context.Context, task queue.Task[Picture]) queue.Budget {
	plan := task.Value.Plan
	budget := queue.Budget{Max: plan.prep.AutoBatch(), Why: "about a megapixel together"}
	if r.opts.Budget != nil {
		budget = r.opts.Budget(r.p, plan)
	}
	if n := plan.prep.AskedBatch; n > 0 && (n < budget.Max || r.opts.Budget == nil) {
		budget = queue.Budget{Max: n, Why: fmt.Sprintf("max_batch is %d", n)}
	}
	if r.opts.Budget == nil { // a run that does not fit at all says so when it is computed
		d, err := r.p.decide(ctx, plan.prep, demand{images: budget.Max, batch: budget.Max, prompts: budget.Max})
		if err == nil && d.Batch < budget.Max {
			budget = queue.Budget{Max: d.Batch, Why: d.Reason}
		}
	}
	return budget
}

// Run implements queue.Runner.
func (r *runner) Run(ctx context.Context, b *queue.Batch[Picture, Image]) error {
	if r.opts.Exclusive != nil {
		l := r.opts.Exclusive(models.DeviceOf(r.p.models.Base.Info))
		l.Lock()
		defer l.Unlock()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	release, err := r.p.use()
	if err != nil {
		return err
	}
	defer release()
	pictures := make([]Picture, b.Len())
	for i := range pictures {
		pictures[i] = b.Task(i).Value
		if pictures[i].Plan.key != pictures[0].Plan.key {
			return errors.New("pictures with different keys cannot be computed together")
		}
	}
	report := &batchReport{batch: int(b.Number()), pictures: pictures}
	o := sittingOptions{live: b.Live, deliver: func(i int, img Image) error { b.Deliver(i, img); return nil },
		progress: func(p Progress) {
			if p.Stage == StageDenoise {
				b.Step(p.Step)
			}
			report.tell(p)
		}}
	if t := pictures[0].track; t != nil {
		o.previewEvery, o.previewMode = t.opts.PreviewEvery, t.opts.PreviewMode
	}
	s := r.p.newSitting(o)
	defer s.close()
	if err := s.together(ctx, pictures, b.Relief()); err != nil {
		return fmt.Errorf("%s: %w", s.report.state.Stage, err)
	}
	return nil
}

// together makes one batch of pictures of several requests.
func (s *sitting) together(ctx context.Context, pictures []Picture, relief queue.Relief) error {
	members := map[*Planned]*member{}
	slots, seeds := make([]steps.Slot, len(pictures)), make([]int64, len(pictures))
	for i, pic := range pictures {
		m := members[pic.Plan]
		if m == nil {
			var handle *LoRAHandle
			var held *heldLoRAs
			if t := pic.track; t != nil {
				handle, held = t.opts.LoRAs, t.held
			}
			m = s.join(pic.Plan, handle, held)
			members[pic.Plan] = m
		}
		slots[i], seeds[i] = steps.Slot{Member: &m.Member, Index: pic.Index}, pic.Plan.prep.Request.Seed+int64(pic.Index)
	}
	lead, n := pictures[0].Plan.prep, len(pictures)
	s.report.begin(n, 1, n, lead.AllSteps())
	s.report.pictures(seeds)
	decided, err := s.p.decide(ctx, lead, demand{images: n, batch: n, prompts: len(members)})
	if err != nil {
		return err
	}
	if relief >= queue.ReliefStreaming && !decided.strategy.Staged() {
		decided.strategy.Name = memory.Stage
	}
	decided.tiling = decided.tiling || relief >= queue.ReliefTiling
	s.adopt(decided)
	for plan := range members {
		plan.decided(decided.MemoryDecision)
	}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if err := s.batch(ctx, slots); err != nil {
		return err
	}
	s.report.enter(StageDone)
	return nil
}

// Trim implements queue.Runner.
func (r *runner) Trim(context.Context) error { return r.p.models.ReleaseCompute() }

// Memory implements queue.Runner.
func (r *runner) Memory() queue.Usage {
	if r.opts.Memory == nil {
		return queue.Usage{}
	}
	return r.opts.Memory()
}

// MaxRelief implements queue.Runner. Streaming is here that each stage's weights are in memory only while it runs; weights that pass
// through a window are a matter of how the model was opened.
func (r *runner) MaxRelief() queue.Relief { return queue.ReliefStreaming }
