package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/daguerre-go/daguerre/internal/vae"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// ErrClosed is returned by the methods of a Pipeline after Close.
var ErrClosed = errors.New("the pipeline is closed")

// ErrUnsupportedModel is matched by Open's error for a model that is sound but that this pipeline
// cannot make pictures with alone.
var ErrUnsupportedModel = errors.New("unsupported model")

// ErrNotFinite is matched by the error of a Generate whose latents became NaN or infinite.
var ErrNotFinite = errors.New("the latents are not finite")

// Pipeline is an open model, ready to make pictures. It may be used from several goroutines: every
// Generate has a state of its own, and their computations take turns on the model.
type Pipeline struct {
	config   Config
	model    backend.Model
	info     backend.ModelInfo
	settings settings
	words    *vocabulary
	adapters *adapters
	refiner  *refinerModel // nil: none
	controls *controlNets
	taesd    backend.Model // nil: none
	vaes     *vae.Cache    // of the VAE in F32, where that was needed
	coder    *vae.Coder
	log      *slog.Logger
	hash     modelHash
	held     holding  // how weights are held
	planner  *planner // nil where the backend has no files

	planning sync.Mutex // held while a call is planned

	textCache *textCache

	// Held for reading by every call that uses the model, for writing by Close.
	mu     sync.RWMutex
	closed bool
}

// Open checks the files that cfg names, from their headers alone, and then loads the model. Errors of
// cfg itself are request.Errors, those of files come from the modelfile package. Cancelling ctx stops
// the loading. The caller closes the Pipeline. Where no device is named the best one is taken, and where that fails the next best,
// which is logged as a warning (see backend.Candidates).
func Open(ctx context.Context, cfg Config, opts ...OpenOption) (*Pipeline, error) {
	var o openOptions
	for _, opt := range opts {
		opt(&o)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o.backend == nil {
		b, err := defaultBackend(o.logger)
		if err != nil {
			return nil, err
		}
		o.backend = b
	}
	if o.logger == nil {
		o.logger = slog.New(slog.DiscardHandler)
	}
	return openOnBest(ctx, cfg, o)
}

// open opens a model on the device that cfg names.
func open(ctx context.Context, cfg Config, o openOptions) (*Pipeline, error) {
	plan, err := planOpen(ctx, "model", cfg, fileless(o.backend), o.logger)
	if err != nil {
		return nil, err
	}
	if err := checkNetworks(cfg, o.backend); err != nil {
		return nil, err
	}
	model, planner, held, err := opening{o.backend, cfg, plan, o.jobs, o.logger}.open(ctx)
	if err != nil {
		return nil, err
	}
	p := &Pipeline{config: cfg, model: model, info: model.Info(), settings: plan.settings, log: o.logger, textCache: newTextCache(cfg.TextCache),
		planner: planner, held: held}
	if planner != nil {
		planner.stats = p.memoryStats
	}
	p.hash.paths = plan.paths
	p.vaes = vae.NewCache(o.backend, vae.Limits{})
	p.coder = vae.NewCoder(model, p.vaes, vae.ExactConfig(plan.model))
	p.controls = newControlNets(o.backend, cfg, p.info.UNet, held)
	if err := p.finishOpen(); err != nil {
		return nil, errors.Join(err, model.Close())
	}
	if err := p.openTAESD(ctx, o.backend); err != nil {
		return nil, errors.Join(err, model.Close())
	}
	if err := p.planRefiner(ctx, o.backend); err != nil {
		return nil, errors.Join(err, p.closeTAESD(), model.Close())
	}
	p.log.Info("model open", "kind", p.info.Kind, "precision", p.info.Precision, "reason", p.info.PrecisionReason, "threads", p.info.Threads)
	return p, nil
}

// finishOpen checks what only the open model tells.
func (p *Pipeline) finishOpen() error {
	if err := checkKind(p.info); err != nil {
		return err
	}
	p.settings.adopt(p.info)
	words, err := loadVocabulary(p.config, p.info)
	if err != nil {
		return err
	}
	p.words = words
	p.adapters, err = newAdapters(p.config, p.model)
	if err != nil {
		return err
	}
	return nil
}

// Info describes the open model. The value is the caller's.
func (p *Pipeline) Info() backend.ModelInfo {
	info := p.info
	info.Components = slices.Clone(info.Components)
	return info
}

// Config returns what the Pipeline was opened with.
func (p *Pipeline) Config() Config { return p.config }

// use takes the pipeline for one call; the returned function gives it back.
func (p *Pipeline) use() (func(), error) {
	p.mu.RLock()
	if p.closed {
		p.mu.RUnlock()
		return nil, ErrClosed
	}
	return p.mu.RUnlock, nil
}

// Close frees the model. It waits for running Generates, so it must not be called from their
// callbacks; it may be called again.
func (p *Pipeline) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	p.coder.Close()
	err := errors.Join(p.adapters.close(), p.vaes.Close(), p.controls.close(), p.closeTAESD())
	if p.refiner != nil && !p.refiner.onDemand {
		err = errors.Join(err, p.refiner.release())
	}
	return errors.Join(err, p.model.Close())
}
