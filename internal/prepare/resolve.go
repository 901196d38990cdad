package prepare

import (
	"errors"
	"image"
	"slices"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/conditioning"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/internal/regions"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// resolve resolves a request whose texts are the same for all its pictures, without its details.
func (t *Target) resolve(req request.Request, sizes bool) (*Prepared, error) {
	var errs request.Errors
	if err := req.Validate(); err != nil && !errors.As(err, &errs) {
		return nil, err
	}
	here := func(key string) string { return key }
	splitSampler(&req, here, &errs)
	p := &Prepared{AskedBatch: req.MaxBatch}
	checkPrompts(req, here, &errs)
	req.LoRAs = t.withFaceLoRAs(req)
	p.Adapters = adaptersOf(req, t.Adapters, here, &errs)
	p.Adapters.check(here, &errs)
	if len(errs) == 0 {
		readInputs(&req, sizes, here, &errs)
	}
	t, who := t.withDistilled(p.Adapters)
	note := t.distilledNote(req, who)
	var err error
	if p.Scheduler, err = newScheduler(req, t.Settings); err != nil {
		addSchedulerError(&errs, here, err)
	}
	if err := errs.Err(); err != nil {
		return nil, err
	}
	t.fillDefaults(&req)
	t.check(req, &errs)
	regions.Check(&req, here, &errs)
	p.Controls = t.controls(req, &errs)
	p.IPAdapters = t.ipAdapters(req, &errs)
	p.Change = changeOf(&req, t.Info.UNet.Blocks, &errs)
	if err := errs.Err(); err != nil {
		return nil, err
	}
	p, err = t.finish(p, req)
	if err == nil {
		p.Warnings = append(p.Warnings, t.distilledDoubts(&p.Request, who)...)
		if note != "" {
			p.Warnings = append([]string{note}, p.Warnings...)
		}
	}
	if err == nil && !sizes {
		p.Warnings = append(p.Warnings, pictureWarnings(&req)...)
	}
	return p, err
}

// Plain is a picture of the model's own size, for plans: from noise or, for an inpainting checkpoint, in all of another picture.
func (t *Target) Plain() (*Prepared, error) {
	var req request.Request
	if t.Info.UNet.InChannels == 9 {
		blank := image.Rect(0, 0, t.Settings.Width, t.Settings.Height)
		req.InitImage.Image, req.MaskImage.Image = blank, blank
	}
	t.fillDefaults(&req)
	return t.finish(&Prepared{}, req)
}

// finish resolves what the filled-in request says.
func (t *Target) finish(p *Prepared, req request.Request) (*Prepared, error) {
	p.Request, p.Texts = req, withoutTags(req)
	p.Refines = t.Refiner && req.RefinerMode != request.RefinerNone
	p.channels = t.Info.UNet.OutChannels
	if p.Scheduler == nil {
		var err error
		if p.Scheduler, err = newScheduler(req, t.Settings); err != nil {
			return nil, err
		}
	}
	if err := p.schedule(); err != nil {
		return nil, err
	}
	p.Alone = regions.Alone(&req, max(req.Height/t.Settings.Downscale, 1), max(req.Width/t.Settings.Downscale, 1))
	texts := p.texts()
	p.Parts, p.Said = texts.Parts(), texts.Count()
	doubts, err := conditioning.Check(p.Texts)
	joined := p.Parts > 1 && len(req.Regions) == 0
	if err == nil && joined && !t.Info.UNet.Halves(req.Guided()) {
		err = request.Errors{{Path: "prompt", Message: "AND needs guidance; raise guidance_scale above 1, or leave AND out"}}
	}
	if err == nil && joined && (req.GuidanceInterval() || req.Reuse.TGate > 0) {
		err = request.Errors{{Path: "prompt", Message: "AND needs guidance in every step; leave AND out, or guidance_start, guidance_stop and " +
			"reuse.tgate"}}
	}
	if err == nil {
		err = errors.Join(checkRegions(&p.Request), checkChanges(&p.Request, p.Parts))
	}
	if err != nil {
		return nil, err
	}
	p.Warnings = append(t.doubts(p), doubts...)
	return p, t.measureTexts(p)
}

// CheckRun checks a run file's contents as far as that is possible without a model, before any weight is read: every field, every
// scheduler with its options, and every input file. keep says that what was read of inputs is kept in run's requests. It reports all
// mistakes at once, as request.Errors.
func CheckRun(run *request.Run, keep bool) error {
	var errs request.Errors
	if err := run.Validate(); err != nil && !errors.As(err, &errs) {
		return err
	}
	library := adapters.NewLibrary(run.Model.LoRADirectories...)
	checkModels(*run, &errs)
	for i := range run.Jobs {
		at := func(key string) string { return run.Path(i, key) }
		job := run.Jobs[i]
		splitSampler(&job, at, &errs)
		if _, err := newScheduler(job, models.SDXLSettings()); err != nil {
			addSchedulerError(&errs, at, err)
		}
		if drawn, same := checkPhrases(job, run.Model, at, &errs); same { // what a seed draws is checked when it is drawn
			checkPrompts(drawn, at, &errs)
			adaptersOf(drawn, library, at, &errs).check(at, &errs)
		}
		if !slices.ContainsFunc(errs, func(e request.Error) bool { return !e.File }) { // inputs can be large: not for nothing
			readInputs(&job, false, at, &errs)
			if keep {
				run.Jobs[i] = job
			}
		}
	}
	return errs.Err()
}

// texts reads the request's prompts.
func (p *Prepared) texts() conditioning.Texts {
	return conditioning.Texts{Request: p.Texts, Passes: p.Passes, Alone: p.Alone}
}

// measureTexts counts the chunks of the request's texts.
func (t *Target) measureTexts(p *Prepared) error {
	if t.Model == nil {
		p.Tokens[0] = estimateChunks(p.Texts)
		return nil
	}
	p.Embeddings = t.Words.Files(p.Texts)
	reader, warnings, err := t.Words.Reader(t.Model, p.Texts)
	if err != nil {
		return err
	}
	p.Warnings, p.Reader = append(p.Warnings, warnings...), reader
	texts := p.texts()
	texts.Reader, texts.Warn = reader, func(string) {} // they are told when the texts are encoded
	p.Tokens, err = texts.Chunks(t.Info, *p.Request.ForceZerosForEmptyPrompt, p.Refines)
	return err
}

// newScheduler makes the request's scheduler. Its options go before the model's.
func newScheduler(r request.Request, s models.Settings) (scheduler.Scheduler, error) {
	_, options, err := scheduler.ConfigFromMap(r.SchedulerOptions)
	if err != nil {
		return nil, err
	}
	spacing, err := scheduler.ResolveSpacing(r.Sigmas)
	if err != nil {
		return nil, err
	}
	name := r.Scheduler
	if name == "" {
		name = s.SchedulerName
	}
	cfg := s.Scheduler.With(spacing.Options).With(options)
	if info, err := scheduler.Describe(name); err == nil && cfg.Eta == nil && slices.Contains(info.Options, "eta") {
		cfg.Eta = new(0.0) // diffusers' pipelines give 0 to every scheduler that takes eta; TCD's own default differs
	}
	return scheduler.New(name, cfg)
}

// addSchedulerError files a scheduler's error under the key it is about.
func addSchedulerError(errs *request.Errors, at func(string) string, err error) {
	key := "scheduler_options"
	var name *scheduler.NameError
	if errors.As(err, &name) {
		key = "scheduler"
	}
	var option *scheduler.OptionError
	if errors.As(err, &option) && option.Option == "sigmas" {
		key = "sigmas"
	}
	errs.Add(at(key), "%v", err)
}
