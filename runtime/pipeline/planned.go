package pipeline

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/daguerre-go/daguerre/internal/pictures"
	"github.com/daguerre-go/daguerre/internal/prepare"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// Planned is a request made ready to be computed picture by picture, in batches with others. It is immutable to its users and safe
// for concurrent use.
type Planned struct {
	prep   *prepare.Prepared
	key    string
	own    int64 // of key
	label  string
	result *Result

	pictures []*Planned // of each picture, where their texts are drawn; nil: they have the same
	root     *Planned   // of a picture's own: the request's

	mu     sync.Mutex
	source *pictures.Source // of image-to-image, once it was encoded
	said   map[string]bool  // warnings

	tell func(text string) // takes the warnings of a part of another picture; nil: they are its own
}

// ownKeys counts the requests that are computed with nobody else's.
var ownKeys atomic.Int64

// batchKey holds what must be equal for pictures of two requests to be computed together. What differs from picture to picture, such as
// prompts, seeds, guidance and size conditioning, is not in it.
type batchKey struct {
	Width, Height int
	Guidance      bool
	Combine       request.Guidance
	Perturb       [3]any // PAG, SEG and FreeU
	Halves        string
	Scheduler     SchedulerInfo
	Sigmas        string
	Steps         int
	Strength      float64
	Start, End    float64
	Refiner       [4]any
	LoRAs         []LoRAInfo
	Files         []string // of the adapters
	Stack         any
	Tokens        [3]int
	Parts         int    // of the prompt, that AND joins, or prompts of regions
	Regions       string // how these are joined
	Hires         request.Hires
	Seamless      string
	Interval      [2]any // of guidance
	Reuse         request.Reuse
	Tiles         request.TiledDiffusion
	Details       []int // their steps
	Own           int64 // not 0: only with pictures of the same request
}

// Plan prepares a request, as Prepare does, and finds out with what its pictures can share batches. Errors are request.Errors.
func (p *Pipeline) Plan(req request.Request) (*Planned, error) {
	release, err := p.use()
	if err != nil {
		return nil, err
	}
	defer release()
	return p.planned(req)
}

// planned is Plan for those who use the pipeline already.
func (p *Pipeline) planned(req request.Request) (*Planned, error) {
	prep, err := p.target.Prepare(req)
	if err != nil {
		return nil, err
	}
	res := &Result{Request: prep.Request, Model: p.Info(), Scheduler: describeScheduler(prep), LoRAs: describeLoRAs(prep),
		saying: new(sync.Mutex), model: p, Warnings: slices.Clone(p.warnings)}
	for _, c := range prep.Controls {
		res.nets = append(res.nets, SourceOf(c.Path))
	}
	res.files = p.usedFiles(prep)
	res.inputs = sync.OnceValue(func() []manifestInput { return inputSums(prep.Request) })
	plan, err := newPlanned(prep, res, 0)
	if err != nil || prep.Pictures == nil {
		return plan, err
	}
	known := map[*prepare.Prepared]*Planned{}
	for _, one := range prep.Pictures {
		if known[one] == nil {
			if known[one], err = newPlanned(one, res, plan.own); err != nil {
				return nil, err
			}
			known[one].root = plan
			for _, f := range p.usedFiles(one) {
				if !slices.Contains(res.files, f) {
					res.files = append(res.files, f)
				}
			}
			for _, l := range describeLoRAs(one) {
				if !slices.ContainsFunc(res.LoRAs, func(have LoRAInfo) bool { return have.file == l.file }) {
					res.LoRAs = append(res.LoRAs, l)
				}
			}
		}
		plan.pictures = append(plan.pictures, known[one])
	}
	return plan, nil
}

// newPlanned makes the Planned of a prepared request. own is that of its key, if it is not computed with others; 0: not known yet.
func newPlanned(prep *prepare.Prepared, res *Result, own int64) (*Planned, error) {
	plan := &Planned{prep: prep, said: map[string]bool{}, result: res}
	loras := describeLoRAs(prep)
	var err error
	if plan.key, plan.own, err = keyOf(prep, res.Scheduler, loras, own); err != nil {
		return nil, err
	}
	plan.label = fmt.Sprintf("%dx%d, %d steps, %s", prep.Request.Width, prep.Request.Height, prep.Steps, res.Scheduler.Name)
	if n := len(loras); n > 0 {
		plan.label += fmt.Sprintf(", %d adapters", n)
	}
	return plan, nil
}

// of is the plan of a picture, whose texts may be its own.
func (pl *Planned) of(index int) *Planned {
	if pl.pictures == nil {
		return pl
	}
	return pl.pictures[index]
}

// describeLoRAs tells of a request's enabled adapters.
func describeLoRAs(prep *prepare.Prepared) (out []LoRAInfo) {
	for _, a := range prep.Adapters.Enabled() {
		file := loraFile{prep.Adapters.Path(a), prep.Adapters.ID(a).Key()}
		a = a.Filled()
		out = append(out, LoRAInfo{Name: a.Label(), File: filepath.Base(file.path), Source: SourceOf(file.path), file: file, Weight: *a.Weight,
			UNetWeight: prep.Adapters.EffectiveWeight(a, "unet"), TextEncoderWeight: prep.Adapters.EffectiveWeight(a, "text_encoder"),
			BlockWeights: a.BlockWeights, Start: a.Start, End: a.End})
	}
	return out
}

// keyOf is equal for prepared requests whose pictures can be computed in one batch.
func keyOf(prep *prepare.Prepared, scheduler SchedulerInfo, loras []LoRAInfo, own int64) (string, int64, error) {
	r := &prep.Request
	key := batchKey{Width: r.Width, Height: r.Height, Guidance: r.Guided(), Combine: r.Guidance,
		Perturb: [3]any{r.PAG, r.SEG, r.FreeU}, Halves: r.GuidanceBatch, Scheduler: scheduler,
		Sigmas: r.Sigmas, Steps: r.NumInferenceSteps, Strength: r.Strength, Start: r.DenoisingStart, End: r.DenoisingEnd,
		Refiner: [4]any{r.RefinerMode, r.RefinerStart, r.RefinerStrength, r.RefinerSteps}, LoRAs: loras, Stack: r.LoRAStack, Tokens: prep.Tokens,
		Parts: prep.Parts, Regions: r.RegionMode,
		Hires: r.Hires, Tiles: r.TiledDiffusion, Seamless: r.Seamless, Interval: [2]any{r.GuidanceStart, r.GuidanceStop}, Reuse: r.Reuse}
	key.Scheduler.Asked, key.Scheduler.Notes = "", nil
	for _, d := range prep.Details {
		key.Details = append(key.Details, d.Steps)
	}
	for _, l := range loras {
		key.Files = append(key.Files, fmt.Sprint(l.file))
	}
	if !r.InitImage.IsZero() || !r.Noise.IsZero() || !r.Latents.IsZero() || len(r.ControlNets) > 0 || len(r.IPAdapters) > 0 {
		if key.Own = own; own == 0 {
			key.Own = ownKeys.Add(1)
		}
	}
	data, err := json.Marshal(key)
	return string(data), key.Own, err
}

// Request returns the request as it runs: every default filled in, the seed chosen.
func (pl *Planned) Request() request.Request { return pl.prep.Request }

// Key is equal for requests whose pictures can be computed in one batch.
func (pl *Planned) Key() string { return pl.key }

// Steps is the number of denoising steps of each picture, a refiner's and those of its details among them.
func (pl *Planned) Steps() int { return pl.prep.AllSteps() }

// MaxBatch is the largest batch that the request asks for; 0 where it does not say.
func (pl *Planned) MaxBatch() int { return pl.prep.AskedBatch }

// Warnings returns what was done otherwise than one may expect so far, in words.
func (pl *Planned) Warnings() []string { return pl.result.warnings() }

// Result returns a result without pictures, for the manifests of pictures that are saved as they come.
func (pl *Planned) Result() *Result { return pl.result }

// encoded is the picture that was encoded for an earlier batch; nil: none was.
func (pl *Planned) encoded() *pictures.Source {
	if pl.root != nil {
		return pl.root.encoded()
	}
	pl.mu.Lock()
	defer pl.mu.Unlock()
	return pl.source
}

// remember keeps an encoded picture for the request's other batches.
func (pl *Planned) remember(s *pictures.Source) {
	if pl.root != nil {
		pl.root.remember(s)
		return
	}
	pl.mu.Lock()
	defer pl.mu.Unlock()
	pl.source = s
}

// decided keeps the first decision about memory, for manifests.
func (pl *Planned) decided(d MemoryDecision) {
	if pl.root != nil {
		pl.root.decided(d)
		return
	}
	pl.mu.Lock()
	defer pl.mu.Unlock()
	if pl.result.Memory.Batch == 0 {
		pl.result.Memory = d
	}
}

// warn adds a sentence to the result and the log, once.
func (pl *Planned) warn(log *slog.Logger, text string) {
	if pl.root != nil {
		pl.root.warn(log, text)
		return
	}
	if pl.tell != nil {
		pl.tell(text)
		return
	}
	pl.mu.Lock()
	defer pl.mu.Unlock()
	if !pl.said[text] {
		pl.said[text] = true
		pl.result.saying.Lock()
		pl.result.Warnings = append(pl.result.Warnings, text)
		pl.result.saying.Unlock()
		log.Warn(text)
	}
}

func describeScheduler(p *prepare.Prepared) SchedulerInfo {
	return SchedulerInfo{Name: p.Scheduler.Name(), Asked: p.Request.Scheduler, Notes: p.Scheduler.Notes(),
		Options: optionMap(p.Scheduler.Config())}
}

// optionMap lists the options that are set by their names in JSON. Infinities, which JSON cannot say and which mean "no limit", are left
// out.
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
