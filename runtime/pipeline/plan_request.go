package pipeline

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Planned is a request made ready to be computed picture by picture, in batches with others. It is immutable to its users and safe
// for concurrent use.
type Planned struct {
	req      request.Request // prepared
	maxBatch int             // as asked; 0: not
	key      string
	label    string
	steps    int
	result   *Result
	loras    lora.Stack // the enabled adapters

	mu     sync.Mutex
	source *source         // of image-to-image, once it was encoded
	said   map[string]bool // warnings
}

// ownKeys counts the requests that are computed with nobody else's.
var ownKeys atomic.Int64

// planKey holds what must be equal for pictures of two requests to be computed together. What differs from picture to
// picture, such as prompts, seeds, guidance and size conditioning, is not in it.
type planKey struct {
	Width, Height int
	Guidance      bool
	Halves        string
	Scheduler     SchedulerInfo
	Sigmas        string
	Steps         int
	Strength      float64
	Start, End    float64
	Refiner       [4]any
	LoRAs         []LoRAInfo
	Paths         []string
	Stack         request.LoRAStack
	Tokens        [3]int // of the base, and of a refiner with one encoder
	Hires         request.Hires
	Seamless      string
	Own           int64 // not 0: only with pictures of the same request
}

// Plan prepares a request, as Prepare does, and finds out with what its pictures can share batches. Errors are request.Errors.
func (p *Pipeline) Plan(req request.Request) (*Planned, error) {
	release, err := p.use()
	if err != nil {
		return nil, err
	}
	defer release()
	plan := &Planned{maxBatch: req.MaxBatch, said: map[string]bool{}}
	if plan.req, err = p.Prepare(req); err != nil {
		return nil, err
	}
	j, err := p.jobOf(plan)
	if err != nil {
		return nil, err
	}
	if err := j.planSteps(1); err != nil {
		return nil, err
	}
	tokens, err := j.countTokens()
	if err != nil {
		return nil, err
	}
	plan.result, plan.steps, plan.loras = j.res, j.state.Steps, j.lora.stack.Stack
	plan.loras.Adapters = plan.loras.Enabled()
	r := &plan.req
	key := planKey{Width: r.Width, Height: r.Height, Guidance: r.GuidanceScale > 1, Halves: r.GuidanceBatch, Scheduler: j.res.Scheduler, Sigmas: r.Sigmas,
		Steps: r.NumInferenceSteps, Strength: r.Strength, Start: r.DenoisingStart, End: r.DenoisingEnd,
		Refiner: [4]any{r.RefinerMode, r.RefinerStart, r.RefinerStrength, r.RefinerSteps}, LoRAs: j.res.LoRAs, Stack: r.LoRAStack, Tokens: tokens, Hires: r.Hires, Seamless: r.Seamless}
	key.Scheduler.Asked, key.Scheduler.Notes = "", nil
	for _, l := range j.res.LoRAs {
		key.Paths = append(key.Paths, l.path)
	}
	if r.InitImage.Image != nil || !r.Noise.IsZero() || !r.Latents.IsZero() || len(r.ControlNets) > 0 {
		key.Own = ownKeys.Add(1)
	}
	data, err := json.Marshal(key)
	if err != nil {
		return nil, err
	}
	plan.key = string(data)
	plan.label = fmt.Sprintf("%dx%d, %d steps, %s", r.Width, r.Height, plan.steps, j.res.Scheduler.Name)
	if n := len(j.res.LoRAs); n > 0 {
		plan.label += fmt.Sprintf(", %d adapters", n)
	}
	return plan, nil
}

// Request returns the request as it runs: every default filled in, the seed chosen.
func (pl *Planned) Request() request.Request { return pl.req }

// Key is equal for requests whose pictures can be computed in one batch.
func (pl *Planned) Key() string { return pl.key }

// Steps is the number of denoising steps of each picture, a refiner's among them.
func (pl *Planned) Steps() int { return pl.steps }

// MaxBatch is the size of batch that the request asks for at most; 0 where it does not say.
func (pl *Planned) MaxBatch() int { return pl.maxBatch }

// Warnings returns what was done otherwise than one may expect so far, in words.
func (pl *Planned) Warnings() []string {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	return slices.Clone(pl.result.Warnings)
}

// Result returns a result without pictures, for the manifests of pictures that are saved as they come.
func (pl *Planned) Result() *Result { return pl.result }

// jobOf makes a job that computes pictures of the plan on this pipeline.
func (p *Pipeline) jobOf(pl *Planned) (*job, error) {
	sched, err := newScheduler(pl.req, p.settings)
	if err != nil {
		return nil, request.Errors{{Path: "scheduler", Message: err.Error()}}
	}
	j := p.newJob(pl.req, sched)
	j.plan = pl
	pl.mu.Lock()
	j.source = pl.source
	pl.mu.Unlock()
	return j, j.resolveLoRAs()
}

// countTokens reads the prompts as encoding them will: texts of different lengths cannot share a batch.
func (j *job) countTokens() (n [3]int, err error) {
	if err := j.openReader(); err != nil {
		return n, err
	}
	positive, _, err := j.readHalves(&j.base)
	if err != nil {
		return n, err
	}
	n[0] = positive[0].text.Chunks()
	if j.refines() { // which may not be open yet; it may have one encoder only
		one := expert{forceZeros: true}
		one.info.UNet.ContextDim, one.info.TextEncoder2.Width = 1, 1
		for i, zeros := range []bool{true, false} {
			one.forceZeros = zeros
			if positive, _, err = j.readHalves(&one); err != nil {
				return n, err
			}
			n[1+i] = positive[0].text.Chunks()
		}
	}
	return n, nil
}

// remember keeps an encoded picture for the request's other batches.
func (pl *Planned) remember(s *source) {
	if s == nil {
		return
	}
	pl.mu.Lock()
	defer pl.mu.Unlock()
	pl.source = s
}

// first reports whether a warning is said for the first time.
func (pl *Planned) first(text string) bool {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	if pl.said[text] {
		return false
	}
	pl.said[text] = true
	pl.result.addWarning(text)
	return true
}

func (r *Result) addWarning(text string) {
	if r != nil {
		r.Warnings = append(r.Warnings, text)
	}
}

// checkTokens refuses to compute texts of different lengths together.
func checkTokens(members []*job, of func(*job) *expert) error {
	for _, m := range members[1:] {
		if a, b := of(members[0]).cond.positive.tokens, of(m).cond.positive.tokens; a != b {
			return fmt.Errorf("prompts of %d and %d tokens in one batch", a, b)
		}
	}
	return nil
}
