package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/conditioning"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/internal/plan"
	"github.com/daguerre-go/daguerre/internal/prepare"
	"github.com/daguerre-go/daguerre/internal/steps"
	"github.com/daguerre-go/daguerre/internal/tune"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// ErrClosed is returned by the methods of a Pipeline after Close.
var ErrClosed = errors.New("the pipeline is closed")

// ErrUnsupportedModel is matched by the error of a model that is sound but that cannot do what it is to do here.
var ErrUnsupportedModel = models.ErrUnsupported

// ErrNotFinite is matched by the error of a picture whose latents became NaN or infinite.
var ErrNotFinite = steps.ErrNotFinite

// ErrControlMemory is matched by the error of a job whose ControlNets together need more than Config.ControlNetMemory.
var ErrControlMemory = models.ErrControlMemory

// ErrOverBudget is matched by the error of a run that cannot fit into the memory that it may have.
var ErrOverBudget = memory.ErrOverBudget

// Pipeline is an open model, ready to make pictures. It may be used from several goroutines: every
// Generate has a state of its own, and their computations take turns on the model.
type Pipeline struct {
	config   Config
	choices  tune.Choices // of ways of computing, measured on the device
	models   *models.Set
	holding  models.Holding
	target   *prepare.Target
	planner  *plan.Planner // nil where the backend has no files
	texts    *conditioning.Cache
	adapters *adapters.Cache     // nil where the backend applies none
	files    []string            // of its models
	weights  []backend.TableFile // of the base
	sums     loraHashes
	hash     modelHash
	log      *slog.Logger
	warnings []string // of opening; the log has them, and every result

	// Held for reading by every call that uses the models, for writing by Close.
	mu     sync.RWMutex
	closed bool
}

// Info describes the open model. The value is the caller's.
func (p *Pipeline) Info() backend.ModelInfo {
	info := p.models.Base.Info
	info.Components = slices.Clone(info.Components)
	return info
}

// Config returns what the Pipeline was opened with, with the ways of computing that were chosen on a GPU.
func (p *Pipeline) Config() Config { return p.config }

// Prepare returns req as Generate would run it on this model: inputs read, every default filled in and the seed chosen. Preparing the
// result again changes nothing. Errors are request.Errors.
func (p *Pipeline) Prepare(req request.Request) (request.Request, error) {
	prep, err := p.target.Prepare(req)
	if err != nil {
		return req, err
	}
	return prep.Request, nil
}

// use takes the pipeline for one call; the returned function gives it back.
func (p *Pipeline) use() (func(), error) {
	p.mu.RLock()
	if p.closed {
		p.mu.RUnlock()
		return nil, ErrClosed
	}
	return p.mu.RUnlock, nil
}

// Close frees the models. It waits for running Generates, so it must not be called from their
// callbacks; it may be called again.
func (p *Pipeline) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	var err error
	if p.adapters != nil {
		err = p.adapters.Close()
	}
	return errors.Join(err, p.models.Close())
}

// MemoryStats tells what the pipeline's models hold: the model itself, then TAESD, the refiner and ControlNets that are open. It does
// not wait for running calls. There are none of a closed pipeline.
func (p *Pipeline) MemoryStats() []backend.MemoryStats {
	release, err := p.use()
	if err != nil {
		return nil
	}
	defer release()
	return p.models.Stats()
}

// ComputeBytes returns the exact size of the buffer that a stage of the model would allocate, without allocating it.
func (p *Pipeline) ComputeBytes(q backend.ComputeQuery) (int64, error) {
	release, err := p.use()
	if err != nil {
		return 0, err
	}
	defer release()
	return p.models.Base.ComputeBytes(q)
}

// TextCacheStats returns how often an encoded prompt was remembered, and how often one had to be encoded.
func (p *Pipeline) TextCacheStats() (hits, misses int64) { return p.texts.Counts() }

// LoRAStats tells what the cache of adapters did since the pipeline was opened.
func (p *Pipeline) LoRAStats() lora.Stats {
	if p.adapters == nil {
		return lora.Stats{}
	}
	return p.adapters.Stats()
}

// ModelHash returns the SHA-256 of the model file in lower-case hexadecimal. It reads the whole file the first time, which takes seconds
// for several gigabytes. It keeps the sum in the user's cache folder, by the file's path, size and times of change. A folder or a backend
// without files has none: ErrNoHash. If the file has changed since it was opened, the error is identity.ErrChanged.
func (p *Pipeline) ModelHash(ctx context.Context) (string, error) {
	p.hash.mu.Lock()
	defer p.hash.mu.Unlock()
	if p.hash.sum != "" {
		return p.hash.sum, nil
	}
	if len(p.hash.paths) == 0 {
		return "", ErrNoHash
	}
	if err := p.hash.was.Check(p.hash.paths[0]); err != nil {
		return "", err
	}
	sum, err := HashFile(ctx, p.hash.paths[0])
	if err == nil {
		err = p.hash.was.Check(p.hash.paths[0])
	}
	if err != nil {
		return "", err
	}
	p.hash.sum = sum
	return sum, nil
}
