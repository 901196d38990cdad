package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/conditioning"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/internal/plan"
	"github.com/daguerre-go/daguerre/internal/prepare"
	"github.com/daguerre-go/daguerre/internal/tune"
	"github.com/daguerre-go/daguerre/internal/weightcache"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Open checks the files that cfg names, from their headers alone, and then loads the model. Errors of cfg itself are request.Errors, those
// of files name the file. Cancelling ctx stops the loading. The caller closes the Pipeline. Where no device is named, the best one is
// taken. If that fails, the next best is taken with a warning in the log (see backend.Candidates).
func Open(ctx context.Context, cfg Config, opts ...OpenOption) (*Pipeline, error) {
	o := openOptions{logger: slog.New(slog.DiscardHandler)}
	for _, opt := range opts {
		opt(&o)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o.backend == nil {
		b, err := defaultBackend(cfg.Library, o.logger)
		if err != nil {
			return nil, err
		}
		o.backend = b
	}
	if !models.Fileless(o.backend) {
		var err error
		if cfg, err = cfg.located(); err != nil {
			return nil, err
		}
	}
	return openOnBest(ctx, cfg, o)
}

// openOnBest opens a model on the device that cfg names. Where it names none and there are several, they are tried from the best
// to the CPU: what a device cannot do steps down to the next with a warning, anything else is the error.
func openOnBest(ctx context.Context, cfg Config, o openOptions) (*Pipeline, error) {
	if named := backend.Named(cfg.Device); named != "" {
		cfg.Device = named
		return openNamed(ctx, cfg, o)
	}
	devices, err := o.backend.Devices(ctx)
	if err != nil {
		return nil, err
	}
	candidates := backend.Candidates(devices)
	if len(candidates) < 2 {
		return openNamed(ctx, cfg, o)
	}
	var failures []error
	for i, c := range candidates {
		cfg.Device = c.ID
		p, err := openNamed(ctx, cfg, o)
		if err == nil {
			o.logger.Info("device chosen", "device", c.ID, "reason", c.Reason)
			return p, nil
		}
		if ctx.Err() != nil || !deviceFailed(err) {
			return nil, err
		}
		failures = append(failures, err)
		if i+1 < len(candidates) {
			o.logger.Warn("device "+c.ID+" cannot be used; trying "+candidates[i+1].ID, "error", err)
		}
	}
	return nil, errors.Join(failures...)
}

// opening is what Open knows before a weight is read.
type opening struct {
	choices  tune.Choices
	config   Config
	sources  models.Sources
	base     models.Opening
	refiner  models.Opening
	fileless bool
	warnings []string // for the user, about the files
}

// readConfig validates cfg and reads the headers of its files, and the weights of the small networks.
func readConfig(ctx context.Context, cfg Config, fileless bool, log *slog.Logger) (opening, error) {
	if fileless && cfg.Model == "" {
		cfg.Model = NanoModel
	}
	if err := cfg.check(); err != nil {
		return opening{}, err
	}
	o := opening{config: cfg, sources: cfg.sources(cfg.Model, cfg.Refiner), fileless: fileless}
	if fileless {
		o.base, o.refiner = models.Unread(o.sources.Base), models.Unread(o.sources.Refiner)
		return o, nil
	}
	var err error
	paths := []string{cfg.Model, cfg.Refiner}
	for i, path := range paths {
		if path != NanoModel {
			continue
		}
		if paths[i], err = nanoPath(ctx); err != nil {
			return o, fmt.Errorf("unpacking the embedded nano model: %w", err)
		}
	}
	o.sources = cfg.sources(paths[0], paths[1])
	if o.base, err = models.Read("model", o.sources.Base); err != nil {
		return o, err
	}
	if o.sources.HasRefiner() {
		if o.refiner, err = models.Read("refiner", o.sources.Refiner); err != nil {
			return o, err
		}
		warning, err := models.CheckRefiner(o.base, o.refiner)
		if err != nil {
			return o, err
		}
		if warning != "" {
			o.refiner.Warnings = append(o.refiner.Warnings, warning)
		}
	}
	o.warnings, err = o.sources.CheckFiles(ctx)
	o.warnings = slices.Concat(o.base.Warnings, o.refiner.Warnings, o.warnings)
	for _, w := range o.warnings {
		log.Warn(w)
	}
	return o, err
}

// filesOf lists the files of a pipeline's models. A backend without files has none.
func (o opening) filesOf() []string {
	out := append(slices.Clone(o.base.Files), o.refiner.Files...)
	for _, path := range []string{o.sources.TAESD.Files.TAESD, o.sources.Upscaler.Files.Upscaler} {
		if path != "" && !o.fileless {
			out = append(out, path)
		}
	}
	return out
}

// keepWeights has the models use a cache of converted weights. The small networks are converted in a moment.
func (o *opening) keepWeights(cache backend.WeightCache) {
	for _, cfg := range []*backend.ModelConfig{&o.base.Config, &o.refiner.Config, &o.sources.Base, &o.sources.Refiner, &o.sources.Control} {
		cfg.WeightCache = cache
	}
}

// planner makes the planner of memory.
func (o opening) planner(ctx context.Context, b backend.Backend, log *slog.Logger) (*plan.Planner, error) {
	return plan.New(ctx, b, plan.Options{Sources: o.sources, Base: o.base, Refiner: o.refiner, Policy: o.config.VAEPolicy,
		Fast: o.config.FastDecode, Memory: o.config.Memory, Separate: o.choices.Guidance == tune.Separate, Log: log})
}

// target is what requests are prepared for. model tokenizes; nil: nothing does.
func (o opening) target(info backend.ModelInfo, model backend.Model) (*prepare.Target, error) {
	t := &prepare.Target{Settings: o.base.Settings, Info: info, Model: model, Refiner: o.sources.HasRefiner(),
		Upscaler: o.sources.HasUpscaler(), Adapters: adapters.NewLibrary(o.config.LoRADirectories...),
		Nets: models.NewNets(o.config.ControlNetDirectories...), Fileless: o.fileless,
		Detectors:  models.NewDetectors(o.config.ModelDirectories...),
		IPAdapters: models.NewIPAdapters(o.config.IPAdapterDirectories...), ImageEncoder: o.config.ImageEncoder,
		Attentions:          models.Attentions(o.base.Config.Table),
		WildcardDirectories: o.config.WildcardDirectories, StyleFiles: o.config.StyleFiles}
	t.Settings.Adopt(info)
	var err error
	t.Words, err = conditioning.NewVocabulary(o.config.Embeddings, o.config.EmbeddingDirectories, info)
	return t, err
}

// plannedJobs puts the jobs that a pipeline is to do into the terms of package memory. It also returns what is to be said of them.
func (o opening) plannedJobs(p *plan.Planner, requests []request.Request) (jobs []memory.Job, warnings []string, err error) {
	model, err := p.Probe()
	if err != nil {
		return nil, nil, err
	}
	target, err := o.target(p.Info, model)
	if err != nil {
		return nil, nil, err
	}
	run := runJobs{together: map[string]*group{}}
	add := func(prep *prepare.Prepared, err error) error {
		if err != nil {
			return err
		}
		job, err := p.Job(prep)
		if err != nil {
			return err
		}
		for _, w := range prep.Warnings {
			if !slices.Contains(warnings, w) {
				warnings = append(warnings, w)
			}
		}
		return run.add(prep, job)
	}
	if len(requests) == 0 {
		err := add(target.Plain())
		return run.jobs, warnings, err
	}
	for _, r := range requests {
		if err := add(target.PrepareSize(r)); err != nil {
			return nil, nil, err
		}
	}
	return run.shared(), warnings, nil
}

// openNamed opens a model on the device that cfg names, with parts of it on the CPU where the device's memory is too short.
func openNamed(ctx context.Context, cfg Config, o openOptions) (*Pipeline, error) {
	p, err := open(ctx, cfg, o)
	if err != nil {
		return openOffloaded(cfg, err, o.logger, func(cfg Config) (*Pipeline, error) { return open(ctx, cfg, o) })
	}
	return p, nil
}

// open opens a model on the device that cfg names, as cfg says.
func open(ctx context.Context, cfg Config, o openOptions) (*Pipeline, error) {
	chosen, choices, err := cfg.tuned(ctx, o.backend, true, o.logger)
	if err != nil {
		return nil, err
	}
	opening, err := readConfig(ctx, chosen, models.Fileless(o.backend), o.logger)
	if err != nil {
		return nil, err
	}
	opening.choices = choices
	if !opening.fileless {
		opening.keepWeights(weightcache.Open(ctx, weightcache.Folder(CacheDir()), chosen.WeightCache))
	}
	if w := roundedProducts(chosen.Precision, backend.Named(chosen.Device)); w != "" {
		o.logger.Warn(w)
		opening.warnings = append(opening.warnings, w)
	}
	p := &Pipeline{config: chosen, choices: choices, log: o.logger, warnings: opening.warnings, texts: conditioning.NewCache(cfg.TextCache)}
	base, err := p.openBase(ctx, opening, o)
	if err != nil {
		return nil, err
	}
	if err := models.CheckBase(base.Info(), cfg.Model); err != nil {
		return nil, errors.Join(err, base.Close())
	}
	if p.models, err = models.Open(ctx, o.backend, opening.sources, base, opening.base, opening.refiner, p.holding); err != nil {
		return nil, err
	}
	if p.planner != nil {
		p.planner.Opened(p.models, p.holding)
	}
	if err := p.finishOpen(opening); err != nil {
		return nil, errors.Join(err, p.models.Close())
	}
	info := p.Info()
	p.log.Info("model open", "kind", info.Kind, "precision", info.Precision, "reason", info.PrecisionReason, "threads", info.Threads)
	return p, nil
}

// openBase decides how the weights are held, and opens the base so. Without files there is nothing to decide.
func (p *Pipeline) openBase(ctx context.Context, opening opening, o openOptions) (m backend.Model, err error) {
	if opening.fileless {
		p.holding.Strategy.Name = memory.Resident
		if s := p.config.Memory.Strategy; s != "" && s != memory.Auto {
			p.holding.Strategy.Name = s
		}
		return o.backend.Open(ctx, p.holding.Apply(opening.base.Config))
	}
	planner, err := opening.planner(ctx, o.backend, o.logger)
	defer func() {
		if err = errors.Join(err, planner.Close()); err != nil && m != nil {
			err = errors.Join(err, m.Close())
		}
	}()
	if err != nil {
		return nil, err
	}
	jobs, _, err := opening.plannedJobs(planner, o.jobs) // the warnings come with the jobs
	if err != nil {
		return nil, err
	}
	decided, err := planner.Choose(ctx, jobs)
	if err != nil {
		return nil, err
	}
	o.logger.Info("memory", "decision", decided.Reason)
	p.planner, p.holding = planner, models.Holding{Strategy: decided.Strategy, StreamBytes: decided.StreamBytes}
	m = planner.Take(decided.Strategy)
	switch {
	case m != nil && decided.Strategy.Name == memory.Resident:
		return m, m.Load(ctx) // it is open without weights so far
	case m != nil && decided.Strategy.Name == memory.Stage:
		return m, nil
	case m != nil:
		if err := m.Close(); err != nil {
			return nil, err
		}
	}
	return o.backend.Open(ctx, p.holding.Apply(opening.base.Config))
}

// finishOpen makes ready what needs the open model.
func (p *Pipeline) finishOpen(o opening) error {
	var err error
	if p.target, err = o.target(p.models.Base.Info, p.models.Base.Model); err != nil {
		return err
	}
	if loader, ok := p.models.Base.Model.(backend.LoRAModel); ok {
		if p.adapters, err = adapters.NewCache(loader, adapters.NewModel(loader.Modules()), o.config.LoRACache); err != nil {
			return err
		}
	}
	p.hash.paths, p.files = o.base.Paths, o.filesOf()
	if t := o.base.Config.Table; t != nil {
		p.weights = t.Files
		if f := t.Files[0]; len(p.hash.paths) > 0 && f.Path == p.hash.paths[0] {
			p.hash.was = f.Identity
		}
	}
	return nil
}
