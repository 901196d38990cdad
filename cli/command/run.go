package command

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/cli/progress"
	"github.com/daguerre-go/daguerre/internal/queue"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// overallInterval is the least time between two reports of how far the whole run is.
const overallInterval = 250 * time.Millisecond

// batchRun is the jobs of a run in the batch manager.
type batchRun struct {
	s       *session
	batcher *pipeline.Batcher
	metrics *metricsServer // nil: none
	images  int            // of all jobs
	resumed int            // of them were there already
	began   time.Time
	jobs    []*runJob
	closed  sync.Once

	mu      sync.Mutex
	last    time.Time // of the last overall report
	running queue.Event
	failed  error // that ends the run: the disk is full, say
}

// runJob is one of the run's jobs.
type runJob struct {
	index    int
	plan     *pipeline.Planned
	pictures *pictureWriter
	previews *previewWriter
	batch    *pipeline.BatchJob // nil: every picture was there already
	started  bool
	done     int64 // steps, for the overall report; guarded by the run's mutex
}

// startRun makes the batch manager on the open pipeline.
func (s *session) startRun(o generateOptions) (*batchRun, error) {
	r := &batchRun{s: s, images: countImages(o.run.Jobs), began: s.env.Now()}
	r.batcher = pipeline.NewBatcher(pipeline.BatcherOptions{QueueLimit: max(r.images, 1), MaxBatch: s.model.Memory.MaxBatch,
		Retry:   queue.Retry{Attempts: 2, Delay: time.Second, Retryable: func(err error) bool { return errors.Is(err, backend.ErrOutOfMemory) }}, // others may give memory back
		OnEvent: r.event, Memory: processMemory, Paused: true}, s.pipe)
	if o.metrics != "" {
		var err error
		if r.metrics, err = serveMetrics(o.metrics, s, r.batcher); err != nil {
			r.close()
			return nil, err
		}
		s.report.Report(progress.Warning{Message: "metrics at http://" + r.metrics.address() + "/metrics"})
	}
	return r, nil
}

// close ends the batch manager and what hangs on it.
func (r *batchRun) close() {
	r.closed.Do(func() {
		r.batcher.Close()
		for _, j := range r.jobs {
			if j.previews != nil {
				j.previews.remove()
			}
		}
		if r.metrics != nil {
			r.metrics.close()
		}
	})
}

// all makes the pictures of all jobs. The first failure is returned once the other pictures are done.
func (r *batchRun) all(ctx context.Context, o generateOptions) error {
	for i, job := range o.run.Jobs {
		if err := r.submit(ctx, i, job, o); err != nil {
			return o.jobError(i, err)
		}
	}
	if r.resumed > 0 {
		r.s.report.Report(progress.Resume{Finished: r.resumed, Images: r.images, Journal: r.s.journal.Path()})
	}
	r.batcher.Resume()
	var first error
	for _, j := range r.jobs {
		if err := r.finish(ctx, j); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if first == nil {
				first = o.jobError(j.index, err)
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed != nil {
		return r.failed
	}
	r.overallLocked(true)
	return first
}

// submit queues what is to be made of one job.
func (r *batchRun) submit(ctx context.Context, i int, asked request.Request, o generateOptions) error {
	s := r.s
	if err := ctx.Err(); err != nil {
		return err
	}
	plan, err := r.batcher.Plan(asked)
	if err != nil {
		return blameInput(err)
	}
	req := plan.Request()
	pattern, err := jobPattern(req)
	if err != nil {
		return err
	}
	j := &runJob{index: i, plan: plan}
	j.pictures = &pictureWriter{session: s, ctx: ctx, job: i, req: req, plan: plan.Result(), pattern: pattern, began: s.env.Now()}
	r.jobs = append(r.jobs, j)
	todo, err := j.pictures.missing()
	if err != nil {
		return err
	}
	r.resumed += req.NumImages - len(todo)
	if len(todo) == 0 {
		return nil
	}
	options := pipeline.JobOptions{Indices: todo, OnImage: func(img pipeline.Image) error { return r.save(j, img) },
		OnProgress: func(p pipeline.Progress) { r.progress(j, p) }}
	if s.preview > 0 {
		j.previews = &previewWriter{pictures: j.pictures, paths: map[int]string{}}
		options.PreviewEvery, options.PreviewMode = s.preview, pipeline.PreviewAuto
	}
	j.batch, err = r.batcher.Submit(ctx, plan, options)
	if err == nil && len(o.run.Jobs) == 1 {
		r.startJob(j)
	}
	return err
}

// startJob reports that a job begins.
func (r *batchRun) startJob(j *runJob) {
	if j.started {
		return
	}
	j.started = true
	req := j.plan.Request()
	j.pictures.began = r.s.env.Now()
	r.s.report.Report(progress.JobStart{Job: j.index, Prompt: req.Prompt, Seed: req.Seed, Images: req.NumImages, Width: req.Width,
		Height: req.Height, Steps: req.NumInferenceSteps, GuidanceScale: req.GuidanceScale, Scheduler: req.Scheduler})
}

// progress reports how far a job is. Calls for one job do not overlap.
func (r *batchRun) progress(j *runJob, p pipeline.Progress) {
	r.startJob(j)
	r.s.report.Report(stepOf(j.index, p))
	if j.previews != nil && len(p.Previews) > 0 {
		j.previews.write(p)
	}
	if r.metrics != nil {
		r.metrics.memory.Enter(string(p.Stage))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	j.done = int64(p.Done)
	r.overallLocked(false)
}

// save writes a finished picture. A picture that cannot be written ends the run: the next ones could not be either.
func (r *batchRun) save(j *runJob, img pipeline.Image) error {
	err := j.pictures.save(img)
	if _, ok := errors.AsType[*outputError](err); ok {
		r.mu.Lock()
		if r.failed == nil {
			r.failed = err
		}
		r.mu.Unlock()
		for _, other := range r.jobs {
			if other.batch != nil {
				other.batch.Cancel()
			}
		}
	}
	return err
}

// finish waits for one job and writes what is written at its end.
func (r *batchRun) finish(ctx context.Context, j *runJob) error {
	if j.batch != nil {
		if err := j.batch.Wait(ctx); err != nil {
			return err
		}
	}
	if j.previews != nil {
		j.previews.remove()
	}
	if r.s.verbose { // otherwise the logger has reported them already
		for _, text := range j.plan.Warnings() {
			r.s.report.Report(progress.Warning{Message: text})
		}
	}
	return j.pictures.saveLatents()
}

// event reports what the batch manager does.
func (r *batchRun) event(e queue.Event) {
	switch e.Kind {
	case queue.BatchStarted:
		r.mu.Lock()
		r.running = e
		r.mu.Unlock()
		if r.images > 1 {
			b := progress.Batch{Batch: e.Batch, Size: e.Size, Why: e.Why, Kind: e.Label, Device: e.Worker}
			if e.Relief > queue.ReliefNone {
				b.Relief = e.Relief.String()
			}
			r.s.report.Report(b)
		}
	case queue.Requeued:
		r.s.report.Report(progress.Retry{Images: e.Size, Reason: e.Why})
	}
}

// overallLocked reports how far the whole run is, unless it did so just now.
func (r *batchRun) overallLocked(last bool) {
	now := r.s.env.Now()
	if r.images < 2 || !last && now.Sub(r.last) < overallInterval {
		return
	}
	r.last = now
	s := r.batcher.Snapshot()
	o := progress.Overall{Images: r.images, Finished: r.resumed + int(s.Finished), Failed: int(s.Failed), ImagesPerSecond: s.ImagesPerSec, StepsPerSecond: s.StepsPerSec,
		Seconds: s.Elapsed.Seconds(), ETASeconds: s.ETA.Seconds(), BatchSize: r.running.Size, Why: r.running.Why, Retries: s.Retried, OutOfMemory: s.OutOfMemory}
	for _, j := range r.jobs {
		o.Done += j.done
		if j.batch != nil {
			o.Total += int64(j.plan.Steps() * j.batch.Status().Total)
		}
	}
	r.s.report.Report(o)
}

// done describes the finished run: the speed, and the sizes of batches that were settled on.
func (r *batchRun) done() progress.Done {
	s := r.batcher.Snapshot()
	var d progress.Done
	if spent := r.s.env.Now().Sub(r.began).Seconds(); spent > 0 && s.Finished > 1 {
		d.ImagesPerSecond = float64(s.Finished) / spent
	}
	if r.images < 2 {
		return d
	}
	for _, w := range s.Workers {
		for _, size := range w.Sizes {
			if len(size.Seconds) == 0 {
				continue
			}
			out := progress.Sizes{Kind: size.Label, Size: size.Size, Why: size.Why, Seconds: map[string]float64{}}
			best := math.Inf(1)
			for n, t := range size.Seconds {
				out.Seconds[fmt.Sprint(n)] = t
				if _, used := size.Seconds[size.Size]; !used && t < best { // the next size would have been a trial
					best, out.Size, out.Why = t, n, fmt.Sprintf("fastest measured: %.3g s a picture", t)
				}
			}
			d.Batches = append(d.Batches, out)
		}
	}
	return d
}
