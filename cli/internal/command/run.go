package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/queue"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// overallInterval is the least time between two reports of how far the whole run is.
const overallInterval = 250 * time.Millisecond

// generation makes the pictures of a session's jobs, and reports of it.
type generation struct {
	*session
	batcher  *pipeline.Batcher
	made     *service.Run // nil before all
	stop     context.CancelFunc
	metrics  *metricsServer // nil: none
	images   int            // of all jobs
	began    time.Time
	previews previewWriter
	closed   sync.Once

	mu      sync.Mutex
	jobs    map[int]*jobProgress // that were begun with and have not ended
	steps   jobProgress          // of all jobs that were begun with
	last    time.Time            // of the last overall report
	running queue.Event
	parts   string // that took part in the last job
	// When the running batch began, when its last picture was finished, and each picture's share of the time before its first.
	batchAt, pictureAt time.Time
	shared             float64
	failed             error // that ends the run: the disk is full, say
	first              error // of the first job that failed, in their order
	firstJob           int
}

// jobProgress is how far a job is.
type jobProgress struct {
	began       time.Time
	images      int
	done, total int64 // steps
}

// begin makes the batch manager on the open pipeline.
func (s *session) begin() (*generation, error) {
	g := &generation{session: s, images: countImages(s.run.Jobs), began: s.env.Now(), jobs: map[int]*jobProgress{}}
	g.previews.report, g.previews.files.Overwrite, g.previews.paths = s.report, s.overwrite, map[[2]int]string{}
	retry := func(err error) bool { return errors.Is(err, backend.ErrOutOfMemory) } // others may give memory back
	g.batcher = pipeline.NewBatcher(pipeline.BatcherOptions{QueueLimit: math.MaxInt32, MaxBatch: s.run.Model.Memory.MaxBatch,
		Retry: queue.Retry{Attempts: 2, Delay: time.Second, Retryable: retry}, OnEvent: g.event, Memory: processMemory, Paused: true}, s.pipes...)
	if s.generateOptions.metrics != "" {
		var err error
		if g.metrics, err = serveMetrics(g); err != nil {
			g.close()
			return nil, err
		}
		s.report.Report(progress.Warning{Message: "metrics at http://" + g.metrics.listener.Addr().String() + "/metrics"})
	}
	return g, nil
}

// close ends the batch manager and what hangs on it.
func (g *generation) close() {
	g.closed.Do(func() {
		if g.stop != nil {
			g.stop()
		}
		g.batcher.Close()
		if g.made != nil {
			<-g.made.Done()
		}
		if g.metrics != nil {
			g.metrics.close()
		}
	})
}

// all makes the pictures of all jobs. The first failure is returned once the other pictures are done.
func (g *generation) all(ctx context.Context) error {
	if g.resumed > 0 {
		g.report.Report(progress.Resume{Finished: g.resumed, Images: g.images, Journal: g.journal.Path()})
	}
	ctx, g.stop = context.WithCancel(ctx)
	g.made = service.NewRun(ctx, service.Work{Run: g.run, Delivery: service.Delivery{Store: g.store, Images: service.ImagesPath,
		Previews: g.preview}, Texts: g.texts.of, Now: g.env.Now}, g.hear)
	if err := g.made.Start(g.batcher); err != nil {
		return err
	}
	g.made.Announce()
	g.batcher.Resume()
	select {
	case <-g.made.Done():
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed != nil {
		return g.failed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	g.overallLocked(true)
	if g.first != nil {
		return g.jobError(g.firstJob, g.first)
	}
	return nil
}

// hear reports what happens to the jobs. Calls for one job do not overlap.
func (g *generation) hear(e service.Event) {
	switch e := e.(type) {
	case service.Started:
		j := &jobProgress{began: g.env.Now()}
		g.mu.Lock()
		g.jobs[e.Job] = j
		g.mu.Unlock()
		r := e.Request
		defer g.takePart(r) // below the line of the job
		g.report.Report(progress.JobStart{Job: e.Job, Prompt: r.Prompt, Seed: r.Seed, Images: r.NumImages, Width: r.Width,
			Height: r.Height, Steps: r.NumInferenceSteps, GuidanceScale: r.GuidanceScale, Scheduler: r.Scheduler})
	case service.Progress:
		g.progress(e)
	case service.Preview:
		g.previews.write(e)
	case service.Picture:
		g.mu.Lock()
		if g.session.made != nil {
			g.session.made[[2]int{e.Job, e.Index}] = e.Path
		}
		began, own := g.jobs[e.Job].began, g.ownSeconds()
		g.mu.Unlock()
		g.report.Report(progress.Image{Job: e.Job, Index: e.Index, Seed: e.Seed, Path: e.Path, Width: e.Width, Height: e.Height, Format: e.Format,
			Bytes: e.Bytes, Seconds: g.env.Now().Sub(began).Seconds(), PictureSeconds: own})
	case service.Latents:
		g.report.Report(progress.Latents(e))
	case service.Warning:
		if g.verbose { // otherwise the logger has reported it already
			g.report.Report(progress.Warning{Message: e.Message})
		}
	case service.JobFailed:
		g.jobFailed(e)
	case service.JobEnded:
		g.previews.remove(e.Job)
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.jobs, e.Job)
		if e.Err != nil && (g.first == nil || e.Job < g.firstJob) {
			g.first, g.firstJob = e.Err, e.Job
		}
	}
}

// ownSeconds is the time of a picture that is finished now: its share of what its batch has in common, which is all until the batch's first
// picture, and what it took alone after that. 0: several devices compute, and nobody says which one made it. The lock is held.
func (g *generation) ownSeconds() float64 {
	if len(g.pipes) > 1 {
		return 0
	}
	now := g.env.Now()
	if g.pictureAt.IsZero() {
		g.shared, g.pictureAt = now.Sub(g.batchAt).Seconds()/float64(max(g.running.Size, 1)), now
		return g.shared
	}
	alone := now.Sub(g.pictureAt).Seconds()
	g.pictureAt = now
	return g.shared + alone
}

// shownTo says what an IP-Adapter is shown.
func shownTo(a request.IPAdapter) string {
	switch n := len(a.Images); {
	case n == 1:
		return cmp.Or(filepath.Base(a.Images[0].Path), "a picture")
	case n > 1:
		return fmt.Sprintf("%d pictures", n)
	case a.Embeds.Path != "":
		return filepath.Base(a.Embeds.Path)
	}
	return cmp.Or(filepath.Base(a.Faces.Path), "embeddings")
}

// takePart tells what takes part in a job besides the model. What the last job had is not told again.
func (g *generation) takePart(r *request.Request) {
	var parts []string
	if n := len(r.Regions); n > 0 {
		parts = append(parts, fmt.Sprintf("regions with prompts of their own: %d", n))
	}
	if n := len(r.Details); n > 0 {
		parts = append(parts, fmt.Sprintf("parts of the finished picture that are painted again: %d", n))
	}
	for _, n := range r.ControlNets {
		net := pipeline.ModelName(n.Model)
		text := fmt.Sprintf("ControlNet %s: %s", net, cmp.Or(filepath.Base(n.Image.Path), "a picture"))
		if n.Preprocessor != "" && n.Preprocessor != "none" {
			text += " through " + n.Preprocessor
		}
		if n.Weight != nil && *n.Weight != 1 {
			text += fmt.Sprintf(", weight %g", *n.Weight)
		}
		if n.Start > 0 || n.End > 0 && n.End < 1 {
			text += fmt.Sprintf(", from %g to %g of the steps", n.Start, cmp.Or(n.End, 1))
		}
		parts = append(parts, text)
	}
	for _, a := range r.IPAdapters {
		text := fmt.Sprintf("IP-Adapter %s: %s", pipeline.ModelName(a.Model), shownTo(a))
		if a.Weight != nil && *a.Weight != 1 {
			text += fmt.Sprintf(", weight %g", *a.Weight)
		}
		if a.Start > 0 || a.End > 0 && a.End < 1 {
			text += fmt.Sprintf(", from %g to %g of the steps", a.Start, cmp.Or(a.End, 1))
		}
		parts = append(parts, text)
	}
	if m := g.run.Model.Refiner; m != "" {
		switch r.RefinerMode {
		case request.RefinerNone:
			parts = append(parts, "the refiner takes no part")
		case request.RefinerImg2Img:
			parts = append(parts, fmt.Sprintf("refiner: repaints with strength %g", r.RefinerStrength))
		default:
			parts = append(parts, fmt.Sprintf("refiner: from %g of the steps on", r.RefinerStart))
		}
	}
	if h := r.Hires; h.On() {
		parts = append(parts, fmt.Sprintf("second pass: %dx%d by %s, strength %g", h.Width, h.Height, h.Upscaler, h.Strength))
	}
	text := strings.Join(parts, "\n")
	g.mu.Lock()
	same := text == g.parts
	g.parts = text
	g.mu.Unlock()
	if text != "" && !same {
		for _, p := range parts {
			g.report.Report(progress.Note{Message: p})
		}
	}
}

// jobFailed ends the run where a picture cannot be written: the next ones could not be either.
func (g *generation) jobFailed(e service.JobFailed) {
	if _, ok := errors.AsType[*service.StoreError](e.Err); !ok {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failed = cmp.Or(g.failed, e.Err)
	g.stop()
}

// progress reports how far a job is.
func (g *generation) progress(p service.Progress) {
	g.report.Report(progress.Step{Job: p.Job, Stage: string(p.Stage), Step: p.Step, Steps: p.Steps, Done: int64(p.Done), Total: int64(p.Total),
		Batch: p.Batch, Batches: p.Batches, Seconds: p.Elapsed.Seconds(), ETASeconds: p.ETA.Seconds(), StepsPerSecond: p.StepsPerSec})
	if g.metrics != nil {
		g.metrics.memory.Enter(string(p.Stage))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	j := g.jobs[p.Job]
	if j.images == 0 {
		j.images, j.total = p.Images, int64(p.Total)
		g.steps.images += j.images
		g.steps.total += j.total
	}
	g.steps.done += int64(p.Done) - j.done
	j.done = int64(p.Done)
	g.overallLocked(false)
}

// event reports what the batch manager does.
func (g *generation) event(e queue.Event) {
	switch e.Kind {
	case queue.BatchStarted:
		g.mu.Lock()
		g.running, g.batchAt, g.pictureAt, g.shared = e, g.env.Now(), time.Time{}, 0
		g.mu.Unlock()
		if g.images > 1 {
			b := progress.Batch{Batch: e.Batch, Size: e.Size, Why: e.Why, Kind: e.Label, Device: e.Worker}
			if e.Relief > queue.ReliefNone {
				b.Relief = e.Relief.String()
			}
			g.report.Report(b)
		}
	case queue.Requeued:
		g.report.Report(progress.Retry{Images: e.Size, Reason: e.Why})
	}
}

// snapshot is the queue's, with the pictures whose turn to be queued has not come.
func (g *generation) snapshot() queue.Snapshot {
	s := g.batcher.Snapshot()
	waiting := g.images - g.resumed - int(s.Submitted)
	if s.Queued += waiting; s.ImagesPerSec > 0 {
		s.ETA += time.Duration(float64(waiting) / s.ImagesPerSec * float64(time.Second))
	}
	return s
}

// overallLocked reports how far the whole run is, unless it did so just now. Jobs that were not begun with are taken to have as many steps
// as the others.
func (g *generation) overallLocked(last bool) {
	now := g.env.Now()
	if g.images < 2 || !last && now.Sub(g.last) < overallInterval {
		return
	}
	g.last = now
	s, steps := g.snapshot(), g.steps
	if rest := g.images - g.resumed - steps.images; rest > 0 && steps.images > 0 && !last {
		steps.total += steps.total * int64(rest) / int64(steps.images)
	}
	if s.ETA == 0 && steps.done*20 >= steps.total && steps.done < steps.total && !last { // no picture is finished so far
		s.ETA = time.Duration(float64(now.Sub(g.began)) / float64(steps.done) * float64(steps.total-steps.done))
	}
	g.report.Report(progress.Overall{Images: g.images, Finished: g.resumed + int(s.Finished), Failed: int(s.Failed), Done: steps.done,
		Total:           steps.total,
		ImagesPerSecond: s.ImagesPerSec, StepsPerSecond: s.StepsPerSec, Seconds: s.Elapsed.Seconds(), ETASeconds: s.ETA.Seconds(),
		BatchSize: g.running.Size, Why: g.running.Why, Retries: s.Retried, OutOfMemory: s.OutOfMemory})
}

// done describes the finished run: the speed, and the sizes of batches that were settled on.
func (g *generation) done() progress.Done {
	s := g.batcher.Snapshot()
	var d progress.Done
	if spent := g.env.Now().Sub(g.began).Seconds(); spent > 0 && s.Finished > 1 {
		d.ImagesPerSecond = float64(s.Finished) / spent
	}
	if g.images < 2 {
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
