package adapters

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/internal/identity"
	"github.com/daguerre-go/daguerre/internal/lease"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// Loader puts an adapter into a model's memory; backend.Model is one.
type Loader interface {
	LoadLoRA(ctx context.Context, targets []backend.LoRATarget) (backend.LoRA, error)
}

// Cache keeps adapters resident in one model's memory, within limits that hold for those in use, too. A file that changed is read again.
// It may be used from several goroutines.
type Cache struct {
	loader Loader
	model  *Model
	limit  int64
	leases *lease.Cache[cacheKey, *Resident]

	mu    sync.Mutex
	ratio float64 // largest memory per byte of tensors seen, at least 1: what an estimate is multiplied by
}

// cacheKey identifies a file's contents without reading it.
type cacheKey struct {
	path string
	id   identity.ID
}

// Resident is an adapter in a model's memory.
type Resident struct {
	LoRA    backend.LoRA
	Targets []TargetInfo // in the order of the weights
	Report  Report
	key     cacheKey
}

// NewCache makes a Cache for a model. The caller closes it before the model.
func NewCache(loader Loader, model *Model, config lora.CacheConfig) (*Cache, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.Filled()
	return newCache(loader, model, lease.Options[*Resident]{Bytes: int64(config.MemoryLimitMB) << 20, Count: config.CacheSize,
		Threshold: config.CleanupThreshold, Idle: max(time.Duration(config.IdleSeconds)*time.Second, 0)}), nil
}

func newCache(loader Loader, model *Model, o lease.Options[*Resident]) *Cache {
	o.Strict, o.Close = true, func(r *Resident) error { return r.LoRA.Close() }
	return &Cache{loader: loader, model: model, limit: o.Bytes, leases: lease.New[cacheKey](o), ratio: 1}
}

// Acquire returns the adapter of a file, loaded where it is not resident. The caller releases it.
func (c *Cache) Acquire(ctx context.Context, path string) (*lease.Lease[*Resident], error) {
	key, err := keyOf(path)
	if err != nil {
		return nil, err
	}
	l, err := c.leases.Acquire(ctx, key, func(ctx context.Context) (*Resident, int64, error) {
		r, bytes, err := c.load(ctx, key)
		return r, bytes, of(key.path, err)
	})
	var limit *lease.LimitError
	if errors.As(err, &limit) {
		err = of(key.path, fail(lora.ErrLimit, "lora_cache.memory_limit_mb",
			"the adapter takes about %s MiB; of %s MiB, %s are in use by others. Raise the limit, or use fewer adapters at once",
			mebibytes(limit.Needed), mebibytes(limit.Limit), mebibytes(limit.InUse)))
	}
	return l, err
}

func mebibytes(n int64) string { return group3(int((n + 1<<20 - 1) >> 20)) }

func keyOf(path string) (cacheKey, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err == nil {
		resolved, err = filepath.Abs(resolved)
	}
	var id identity.ID
	if err == nil {
		id, err = identity.Of(resolved)
	}
	if err != nil {
		text := err.Error()
		var own *fs.PathError
		if errors.As(err, &own) {
			text = own.Err.Error()
		}
		return cacheKey{}, &lora.Error{Kind: lora.ErrNotFound, Adapter: path, Message: "cannot be opened: " + text, Cause: err}
	}
	return cacheKey{resolved, id.Key()}, nil
}

// load reads the file and puts it into the model's memory. Room for what it takes by estimate is made first.
func (c *Cache) load(ctx context.Context, key cacheKey) (*Resident, int64, error) {
	began := time.Now()
	f, err := Open(key.path, c.model)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	if err := key.id.Compare(key.path, f.source.file.Identity()); err != nil {
		return nil, 0, err
	}
	c.mu.Lock()
	estimate := int64(float64(f.Report.Bytes) * c.ratio)
	c.mu.Unlock()
	if err := c.leases.Reserve(key, estimate); err != nil {
		return nil, 0, err
	}
	targets, err := f.Targets(ctx)
	if err != nil {
		return nil, 0, err
	}
	loaded, err := c.loader.LoadLoRA(ctx, targets)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", key.path, err)
	}
	r := &Resident{LoRA: loaded, Targets: f.Infos(), Report: f.Report, key: key}
	r.Report.Memory, r.Report.LoadTime = loaded.Bytes(), time.Since(began)
	if r.Report.Bytes > 0 {
		c.mu.Lock()
		c.ratio = max(c.ratio, float64(r.Report.Memory)/float64(r.Report.Bytes))
		c.mu.Unlock()
	}
	return r, r.Report.Memory, nil
}

// Stats returns the statistics as of now.
func (c *Cache) Stats() lora.Stats {
	s, items := c.leases.Report()
	out := lora.Stats{Loads: s.Opens, Hits: s.Hits, Misses: s.Misses, Evictions: s.Evictions, Failures: s.Failures, LoadTime: s.OpenTime,
		LastLoad: s.LastOpen, MaxLoad: s.MaxOpen, Bytes: s.Bytes, PeakBytes: s.PeakBytes, MemoryLimit: c.limit}
	if n := s.Hits + s.Misses; n > 0 {
		out.HitRate = float64(s.Hits) / float64(n)
	}
	for _, i := range items {
		out.Adapters = append(out.Adapters, lora.AdapterStats{Name: i.Value.Report.Name, Path: i.Key.path, Size: i.Key.id.Size,
			ModTime: time.Unix(0, i.Key.id.Modified), Bytes: i.Bytes, Uses: i.Uses, InUse: i.InUse, LoadTime: i.Took})
	}
	return out
}

// Close frees every adapter that is not in use, and those in use when they are released. It may be called again.
func (c *Cache) Close() error { return c.leases.Close() }
