package pipeline

import (
	"context"
	"fmt"
	"image"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/prompt"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// job is one Generate call; nothing of it is shared.
type job struct {
	p     *Pipeline
	req   request.Request // prepared
	opt   generateOptions
	sched scheduler.Scheduler
	res   *Result

	memory   jobMemory
	base     expert  // its UNet runs alone, or up to where the refiner takes over
	refiner  *expert // nil until it is open, or where none is wanted; see refiner.go
	reader   *prompt.Reader
	texts    request.Request // req without the tags of adapters in its prompts
	lora     loraJob
	controls []*control
	source   *source      // of image-to-image; nil otherwise
	outpaint *outpainting // laid out when first needed
	plan     *Planned     // of a Batcher; nil otherwise
	members  []*job       // jobs whose pictures are computed together, itself among them; nil: it is alone

	// What reports are made from; see progress.go.
	began    time.Time
	stageAt  time.Time
	state    Progress
	batchAt  time.Time
	evalsAt  int
	decoded  time.Duration
	previews []image.Image
}

// Generate makes the request's pictures. It checks all it can before computing: the errors of a bad
// request are request.Errors, with a nil Result. Cancelling ctx stops a computation on the CPU at once, on other devices
// at its end, and errors.Is(err, ctx.Err()) then holds. With any error that comes after the checks the Result is not
// nil and holds the pictures that were finished; each was also given to WithImages. The pictures do not depend on
// MaxBatch, GuidanceBatch or other Generates; the same prepared request yields the same pictures.
func (p *Pipeline) Generate(ctx context.Context, req request.Request, opts ...GenerateOption) (*Result, error) {
	release, err := p.use()
	if err != nil {
		return nil, err
	}
	defer release()
	if req, err = p.Prepare(req); err != nil {
		return nil, err
	}
	sched, err := newScheduler(req, p.settings)
	if err != nil {
		return nil, request.Errors{{Path: "scheduler", Message: err.Error()}}
	}
	j := p.newJob(req, sched)
	for _, opt := range opts {
		opt(&j.opt)
	}
	defer func() { j.closeRefiner(); j.closeControls() }()
	if err := j.resolveLoRAs(); err != nil {
		return nil, err
	}
	defer j.releaseLoRAs()
	if err = j.planMemory(ctx); err == nil {
		err = j.run(ctx)
	} else {
		j.state.Stage = StagePlan
	}
	j.res.Timings.Total = time.Since(j.began)
	if err != nil {
		return j.res, fmt.Errorf("%s: %w", j.state.Stage, err)
	}
	return j.res, nil
}

// newJob makes a job of a prepared request.
func (p *Pipeline) newJob(req request.Request, sched scheduler.Scheduler) *job {
	j := &job{p: p, req: req, sched: sched, began: time.Now()}
	j.base = expert{model: p.model, info: p.info, forceZeros: *req.ForceZerosForEmptyPrompt}
	j.memory = jobMemory{strategy: p.held.strategy, separate: req.GuidanceBatch == request.GuidanceSeparate}
	j.res = &Result{Request: req, Model: p.Info(), Scheduler: describeScheduler(req, sched), model: p}
	return j
}

// together lists the jobs whose pictures are computed in j's batches.
func (j *job) together() []*job {
	if j.members == nil {
		return []*job{j}
	}
	return j.members
}

// run is the pipeline itself: text once, then batch by batch from noise to pictures.
func (j *job) run(ctx context.Context) error {
	ctx = j.wrapped(ctx)
	sizes := batches(j.req.NumImages, j.req.MaxBatch)
	j.state = Progress{Images: j.req.NumImages, Batches: len(sizes), Count: sizes[0], Together: sizes[0]}
	if err := j.planSteps(len(sizes)); err != nil {
		return err
	}
	j.enter(StageText)
	if err := ctx.Err(); err != nil {
		return err
	}
	j.hold(memory.StageText)
	if err := j.loadLoRAs(ctx); err != nil {
		return err
	}
	if err := j.encodePrompts(ctx); err != nil {
		return err
	}
	if err := j.openResidentRefiner(ctx); err != nil {
		return err
	}
	if len(j.req.ControlNets) > 0 {
		j.hold(memory.StageControl)
	}
	if err := j.openControls(ctx); err != nil {
		return err
	}
	if err := j.encodeSource(ctx); err != nil {
		return err
	}
	start := 0
	for number, size := range sizes {
		b, err := j.newBatch(number, start, size)
		if err != nil {
			return err
		}
		j.state.Batch, j.state.First, j.state.Count, j.state.Together, j.state.Seeds = number, start, size, size, b.seeds
		if err := j.makeBatch(ctx, b); err != nil {
			return err
		}
		start += size
	}
	j.hold("") // what is not to stay between calls
	j.enter(StageDone)
	return nil
}

// makeBatch is a batch's way from noise to pictures.
func (j *job) makeBatch(ctx context.Context, b *batch) error {
	j.enter(StageDenoise)
	j.hold(memory.StageDenoise)
	if err := j.prepareInputs(b); err != nil {
		return err
	}
	if err := j.startLatents(b); err != nil {
		return err
	}
	if err := j.denoiseAll(ctx, b); err != nil {
		return err
	}
	if err := j.secondPass(ctx, b); err != nil {
		return err
	}
	return j.decode(ctx, b)
}

// wrapped has everything that is computed under the context wrap around as the request says.
func (j *job) wrapped(ctx context.Context) context.Context {
	axes := map[string]backend.Wrap{request.SeamlessX: backend.WrapX, request.SeamlessY: backend.WrapY, request.SeamlessBoth: backend.WrapX | backend.WrapY}
	return backend.WithWrap(ctx, axes[j.req.Seamless])
}

// warn adds a sentence to the result and the log.
func (j *job) warn(text string) {
	j.res.Warnings = append(j.res.Warnings, text)
	if j.plan == nil || j.plan.first(text) {
		j.p.log.Warn(text)
	}
}

func describeScheduler(req request.Request, s scheduler.Scheduler) SchedulerInfo {
	return SchedulerInfo{Name: s.Name(), Asked: req.Scheduler, Notes: s.Notes(), Options: optionMap(s.Config())}
}

// optionMap lists the options that are set by their names in JSON. Infinities, which JSON cannot say and which mean
// "no limit", are left out.
func optionMap(c scheduler.Config) map[string]any {
	out := map[string]any{}
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		f := reflect.Indirect(v.Field(i))
		if !f.IsValid() || f.Kind() != reflect.Bool && !f.CanInt() && !f.CanFloat() && f.IsZero() {
			continue
		}
		if f.CanFloat() && (math.IsInf(f.Float(), 0) || math.IsNaN(f.Float())) {
			continue
		}
		out[name] = f.Interface()
	}
	return out
}
