package service

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// DefaultWindow is how many pictures a run has in the queue at most where Work does not say: enough to fill batches of many kinds.
const DefaultWindow = 1024

// inputWeight is how many pictures a job with inputs of its own counts for: they are in memory, and it shares batches with no other job.
const inputWeight = DefaultWindow / 32

// Texts returns the texts that a PNG file carries.
type Texts func(ctx context.Context, m request.Model, plan *pipeline.Result, img pipeline.Image) ([]imagefile.Text, error)

// Work is what a Run makes, and how.
type Work struct {
	request.Run
	Name     string // for the queue
	Owner    string // whose it is: owners share fairly, however many runs each has
	Priority int
	Deadline time.Time // zero: none
	Single   bool      // what is wrong with the only job is an error of the run
	Delivery Delivery
	Live     bool     // adapters may be changed. Jobs with adapters then share no batches
	Changes  []Change // of adapters, before anything is made
	Window   int      // pictures in the queue at most, or one job; 0: DefaultWindow
	Texts    Texts    // nil: none
	Now      func() time.Time
}

// Run makes the pictures of a run's jobs on a model that is open. Its methods may be called from any goroutine.
type Run struct {
	Work
	ctx     context.Context // ends when the run is given up
	emit    func(Event)     // called for different jobs at once
	batcher *pipeline.Batcher
	done    chan struct{}

	changing sync.Mutex // held while adapters are changed
	settled  bool
	changes  []func() // that wait for settled

	feeding sync.Mutex // held while a job is prepared
	next    int        // job to be queued

	mu       sync.Mutex
	room     *sync.Cond
	queued   int           // jobs that were queued, or cannot be
	parts    map[int]*part // prepared jobs that have not ended
	refused  map[int]bool  // jobs that could not be prepared
	unwanted map[int][]int // pictures that were given up before they were queued, by job
	held     int           // weight of what is in the queue
	open     int           // jobs that have not ended
	result   Ended         // so far
}

// NewRun makes a Run that ends early when ctx does. emit hears of all that happens; calls for one job do not overlap.
func NewRun(ctx context.Context, w Work, emit func(Event)) *Run {
	r := &Run{Work: w, ctx: ctx, emit: emit, done: make(chan struct{}), open: len(w.Jobs), parts: map[int]*part{}, refused: map[int]bool{},
		unwanted: map[int][]int{}}
	if r.Window <= 0 {
		r.Window = DefaultWindow
	}
	r.room = sync.NewCond(&r.mu)
	for _, c := range w.Changes {
		r.Adapt(ctx, c, func(Adapters, error) {}) // it was answered by the one that was told of it
	}
	return r
}

// Start queues the first jobs; the others follow as those end. It returns how preparing the only job went where the Work is Single.
func (r *Run) Start(b *pipeline.Batcher) error {
	r.feeding.Lock()
	r.batcher = b
	var first []*part
	for held := 0; r.next+len(first) < len(r.Jobs) && r.ctx.Err() == nil; {
		i := r.next + len(first)
		w := weight(r.Jobs[i])
		if held > 0 && held+w > r.Window {
			break
		}
		held += w
		p, err := r.part(i)
		if err != nil && r.Single {
			r.feeding.Unlock()
			return err
		}
		first = append(first, p)
	}
	r.feeding.Unlock()
	r.settle() // what was changed before holds from the first step on
	r.feeding.Lock()
	for _, p := range first {
		r.queue(p)
	}
	r.feeding.Unlock()
	stop := context.AfterFunc(r.ctx, func() { r.mu.Lock(); defer r.mu.Unlock(); r.room.Broadcast() })
	go func() {
		defer stop()
		r.feed()
	}()
	return nil
}

// Done is closed when nothing is left to do.
func (r *Run) Done() <-chan struct{} { return r.done }

// Result tells what was made so far; its error is that of the first picture that failed. Once everything has ended it says how the run did.
func (r *Run) Result() Ended {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.result
	out.Seeds = slices.Clone(out.Seeds)
	if cause := context.Cause(r.ctx); r.ctx.Err() != nil && out.Err != nil {
		out.Err = cause
	} else if out.Images > 0 && r.ctx.Err() == nil {
		out.Err = nil
	}
	return out
}

// Announce tells that the only job of a run is begun with, before its first batch is. The batcher must be paused.
func (r *Run) Announce() {
	if queued := r.inQueue(); len(r.Jobs) == 1 && len(queued) == 1 {
		queued[0].start()
	}
}

// CancelPicture gives up one picture of a job.
func (r *Run) CancelPicture(job, index int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if job < 0 || job >= len(r.Jobs) || index < 0 || index >= max(r.Jobs[job].NumImages, 1) {
		return Errorf(CodeNotFound, "this request has no picture %d of a job %d", index, job)
	}
	p := r.parts[job]
	switch {
	case r.refused[job]:
		return errNotQueued(job)
	case p != nil && p.job != nil:
		if i := slices.Index(p.todo, index); i >= 0 && p.job.CancelTask(i) {
			return nil
		}
	case job >= r.queued: // its model is being opened, or others go first
		r.unwanted[job] = append(r.unwanted[job], index)
		return nil
	}
	return Errorf(CodeNotFound, "picture %d of this request has ended already", index)
}

// Cancel gives up what is in the queue. The context of the run must have ended, so that nothing follows.
func (r *Run) Cancel() {
	for _, p := range r.inQueue() {
		p.job.Cancel()
	}
}

// inQueue lists the jobs that are in the queue.
func (r *Run) inQueue() (list []*part) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.parts {
		if p.job != nil {
			list = append(list, p)
		}
	}
	return list
}

// weight is how much of the window a job takes.
func weight(r request.Request) int {
	n := max(r.NumImages, 1)
	if !r.InitImage.IsZero() || !r.Latents.IsZero() || !r.Noise.IsZero() || len(r.ControlNets) > 0 || len(r.IPAdapters) > 0 ||
		slices.ContainsFunc(r.Regions, func(g request.Region) bool { return !g.Mask.IsZero() }) ||
		slices.ContainsFunc(r.Details, func(d request.Detail) bool { return !d.Mask.IsZero() }) {
		n = max(n, inputWeight)
	}
	return n
}

// feed queues the jobs that did not fit into the window at the start.
func (r *Run) feed() {
	for r.next < len(r.Jobs) {
		w := weight(r.Jobs[r.next])
		r.mu.Lock()
		for r.held > 0 && r.held+w > r.Window && r.ctx.Err() == nil {
			r.room.Wait()
		}
		r.mu.Unlock()
		if r.ctx.Err() != nil {
			break
		}
		r.feeding.Lock()
		p, _ := r.part(r.next) // its error was told
		r.queue(p)
		r.feeding.Unlock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leave(len(r.Jobs)-r.next, 0)
}

// leave books the end of jobs. The mutex is held.
func (r *Run) leave(jobs, weight int) {
	if r.held, r.open = r.held-weight, r.open-jobs; r.open == 0 && jobs > 0 {
		if r.ctx.Err() != nil && r.result.Err == nil && r.queued < len(r.Jobs) {
			r.result.Err = context.Cause(r.ctx)
		}
		close(r.done)
	}
	r.room.Broadcast()
}

// part prepares a job where that was not done before. Without a part, the job cannot be made. The feeding mutex is held.
func (r *Run) part(i int) (*part, error) {
	r.mu.Lock()
	p, refused := r.parts[i], r.refused[i]
	r.mu.Unlock()
	if p != nil || refused {
		return p, nil
	}
	p, err := r.prepare(i)
	r.mu.Lock()
	if err == nil {
		r.parts[i] = p
	} else {
		r.refused[i] = true
	}
	r.mu.Unlock()
	if err != nil && !r.Single {
		r.fail(i, nil, err)
		r.emit(JobEnded{i, err})
	}
	return p, err
}

// queue gives the pictures of the next job to the queue; nil: it has none. The feeding mutex is held.
func (r *Run) queue(p *part) {
	i := r.next
	r.next++
	var err error
	if p != nil && len(p.todo) > 0 && r.ctx.Err() == nil {
		err = p.submit()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queued = r.next
	if p == nil {
		r.forget(i)
		r.leave(1, 0)
		return
	}
	w := weight(r.Jobs[i])
	r.held += w
	r.result.Seeds = append(r.result.Seeds, p.req.Seed)
	for _, index := range r.unwanted[i] {
		if k := slices.Index(p.todo, index); k >= 0 && p.job != nil {
			p.job.CancelTask(k)
		}
	}
	go func() {
		p.finish(err)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.forget(i)
		r.leave(1, w)
	}()
}

// forget lets go of a job that has ended. The mutex is held.
func (r *Run) forget(i int) {
	delete(r.parts, i)
	delete(r.unwanted, i)
	r.Jobs[i] = request.Request{NumImages: r.Jobs[i].NumImages}
}

// fail tells of a job, or one picture of it, that failed for good.
func (r *Run) fail(job int, index *int, err error) {
	r.mu.Lock()
	r.result.Failed++
	r.result.Err = cmp.Or(r.result.Err, err)
	r.mu.Unlock()
	r.emit(JobFailed{job, index, err})
}

// placed spells the paths of a job's mistakes as they were written.
func (r *Run) placed(i int, err error) error {
	errs, ok := errors.AsType[request.Errors](err)
	if !ok {
		return err
	}
	out := slices.Clone(errs)
	for k := range out {
		out[k].Path = r.Path(i, out[k].Path)
	}
	return out
}

// Pictures is how many pictures the run makes, those that failed among them.
func (r *Run) Pictures() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, job := range r.Jobs {
		if !r.refused[i] {
			n += max(job.NumImages, 1)
		}
	}
	return n
}
