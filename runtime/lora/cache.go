package lora

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// The values that stand for zero fields of a CacheConfig.
const (
	DefaultMemoryLimit      = int64(4096) << 20
	DefaultCacheSize        = 8
	DefaultCleanupThreshold = 0.8
	DefaultIdleTime         = 5 * time.Minute
)

// CacheConfig limits a Cache. The zero value of a field is its default.
type CacheConfig struct {
	MemoryLimit      int64         // bytes of all resident adapters, those in use included
	Size             int           // adapters kept; those in use may be more
	CleanupThreshold float64       // when there is no room, unused adapters go until this fraction of the limit is not exceeded
	IdleTime         time.Duration // after which an unused adapter goes; negative: never
}

func (c CacheConfig) filled() CacheConfig {
	if c.MemoryLimit == 0 {
		c.MemoryLimit = DefaultMemoryLimit
	}
	if c.Size == 0 {
		c.Size = DefaultCacheSize
	}
	if c.CleanupThreshold == 0 {
		c.CleanupThreshold = DefaultCleanupThreshold
	}
	if c.IdleTime == 0 {
		c.IdleTime = DefaultIdleTime
	}
	return c
}

// Validate checks every field and returns all that is wrong as FieldErrors, or nil.
func (c CacheConfig) Validate() error {
	var errs FieldErrors
	if c.MemoryLimit < 0 {
		errs.add(ErrConfig, "lora_cache.memory_limit_mb", "is %d; it must not be negative", c.MemoryLimit>>20)
	}
	if c.Size < 0 || c.Size > 10_000 {
		errs.add(ErrConfig, "lora_cache.cache_size", "is %d; it must be between 1 and 10000", c.Size)
	}
	if t := c.CleanupThreshold; math.IsNaN(t) || t < 0 || t > 1 {
		errs.add(ErrConfig, "lora_cache.cache_cleanup_threshold", "is %v; it must be a number between 0 and 1", t)
	}
	return errs.err()
}

// Loader puts an adapter into a model's memory; backend.Model is one.
type Loader interface {
	LoadLoRA(ctx context.Context, targets []backend.LoRATarget) (backend.LoRA, error)
}

// Cache keeps adapters resident in one model's memory. An adapter in use is never evicted; the others go in the order of
// their last use, when room is needed or after an idle time. A file that changed is read again. All methods may be
// called from several goroutines; several that want the same file share one loading.
type Cache struct {
	loader Loader
	model  *Model
	config CacheConfig

	room sync.Mutex // held while memory is promised or freed; taken before mu

	mu      sync.Mutex
	entries map[cacheKey]*cacheEntry
	used    int64   // bytes resident or reserved
	ratio   float64 // largest memory per byte of tensors seen, at least 1: what an estimate is multiplied by
	clock   uint64  // of uses
	timer   *time.Timer
	closed  bool
	stats   Stats
}

// cacheKey identifies a file's contents without reading it.
type cacheKey struct {
	path  string
	size  int64
	mtime int64
}

// cacheEntry is an adapter that is resident or being loaded. Its fields but refs and the times are set before ready is
// closed.
type cacheEntry struct {
	key    cacheKey
	ready  chan struct{}
	err    error
	lora   backend.LoRA
	infos  []TargetInfo
	report Report

	bytes    int64 // in used
	refs     int
	lastUse  uint64
	idleFrom time.Time
	uses     int
}

// NewCache makes a Cache for a model. The caller closes it before the model.
func NewCache(loader Loader, model *Model, config CacheConfig) (*Cache, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	return &Cache{loader: loader, model: model, config: config.filled(), entries: map[cacheKey]*cacheEntry{}, ratio: 1}, nil
}

// Acquire returns the adapter of a file, loading it where it is not resident. The caller releases it.
func (c *Cache) Acquire(ctx context.Context, path string) (*Resident, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		key, err := keyOf(path)
		if err != nil {
			return nil, err
		}
		e, first, err := c.enter(key)
		if err != nil {
			return nil, err
		}
		if first {
			e.err = c.load(ctx, e)
			c.loaded(e)
		} else {
			select {
			case <-e.ready:
			case <-ctx.Done():
				c.release(e)
				return nil, ctx.Err()
			}
		}
		if e.err == nil {
			return c.resident(e), nil
		}
		c.release(e)
		if first || !errors.Is(e.err, context.Canceled) && !errors.Is(e.err, context.DeadlineExceeded) {
			return nil, e.err
		} // else another caller gave up while loading for both: try again
	}
}

func keyOf(path string) (cacheKey, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err == nil {
		resolved, err = filepath.Abs(resolved)
	}
	if err != nil {
		return cacheKey{}, &Error{Kind: ErrNotFound, Adapter: path, Message: "cannot be opened: " + cause(err), Cause: err}
	}
	st, err := os.Stat(resolved)
	if err != nil {
		return cacheKey{}, &Error{Kind: ErrNotFound, Adapter: path, Message: "cannot be opened: " + cause(err), Cause: err}
	}
	return cacheKey{resolved, st.Size(), st.ModTime().UnixNano()}, nil
}

// enter takes a reference to a key's entry; first tells the caller to load it.
func (c *Cache) enter(key cacheKey) (e *cacheEntry, first bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, false, ErrClosed
	}
	e = c.entries[key]
	if e == nil {
		e, first = &cacheEntry{key: key, ready: make(chan struct{})}, true
		c.entries[key] = e
		c.stats.Misses++
	} else {
		c.stats.Hits++
	}
	e.refs++
	e.uses++
	c.touch(e)
	return e, first, nil
}

func (c *Cache) touch(e *cacheEntry) {
	c.clock++
	e.lastUse = c.clock
}

// load reads the file and puts it into the model's memory, making room first.
func (c *Cache) load(ctx context.Context, e *cacheEntry) error {
	began := time.Now()
	f, err := Open(e.key.path, c.model)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := c.reserve(e, f.Report.Bytes); err != nil {
		return of(e.key.path, err)
	}
	targets, err := f.Targets(ctx)
	if err != nil {
		return err
	}
	lora, err := c.loader.LoadLoRA(ctx, targets)
	if err != nil {
		return fmt.Errorf("%s: %w", e.key.path, err)
	}
	e.lora, e.infos, e.report = lora, f.Infos(), f.Report
	e.report.Memory, e.report.LoadTime = lora.Bytes(), time.Since(began)
	return of(e.key.path, c.settle(e))
}

// loaded publishes the outcome of load.
func (c *Cache) loaded(e *cacheEntry) {
	c.mu.Lock()
	if e.err != nil {
		c.stats.Failures++
		c.used -= e.bytes
		e.bytes = 0
		if c.entries[e.key] == e {
			delete(c.entries, e.key)
		}
	} else {
		c.stats.load(e.report.LoadTime)
	}
	c.mu.Unlock()
	close(e.ready)
}

// reserve books the estimate of an adapter's memory, after what has to go for it is gone.
func (c *Cache) reserve(e *cacheEntry, bytes int64) error {
	c.room.Lock()
	defer c.room.Unlock()
	c.mu.Lock()
	estimate := int64(float64(bytes) * c.ratio)
	c.mu.Unlock()
	if err := c.makeRoom(estimate); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if left := c.config.MemoryLimit - c.used; estimate > left {
		return fail(ErrLimit, "lora_cache.memory_limit_mb", "the adapter takes about %s MiB; of %s MiB, %s are in use by others. Raise the limit, or use fewer adapters at once",
			mebibytes(estimate), mebibytes(c.config.MemoryLimit), mebibytes(c.used))
	}
	e.bytes = estimate
	c.used += estimate
	c.stats.peak(c.used)
	return nil
}

// settle replaces the estimate by what the adapter takes in fact. If that is too much in spite of all, the adapter goes.
func (c *Cache) settle(e *cacheEntry) error {
	c.room.Lock()
	defer c.room.Unlock()
	c.mu.Lock()
	exact := e.lora.Bytes()
	if e.report.Bytes > 0 {
		c.ratio = max(c.ratio, float64(exact)/float64(e.report.Bytes))
	}
	c.used += exact - e.bytes
	e.bytes = exact
	c.mu.Unlock()
	err := c.makeRoom(0)
	c.mu.Lock()
	used := c.used
	c.mu.Unlock()
	if err == nil && used > c.config.MemoryLimit {
		err = fail(ErrLimit, "lora_cache.memory_limit_mb", "the adapter takes %s MiB and does not fit beside those in use; the limit is %s MiB", mebibytes(exact), mebibytes(c.config.MemoryLimit))
	}
	if err != nil {
		return errors.Join(err, e.lora.Close())
	}
	c.mu.Lock()
	c.stats.peak(used)
	c.mu.Unlock()
	return nil
}

func mebibytes(n int64) string { return group3(int((n + 1<<20 - 1) >> 20)) }

// makeRoom evicts what is unused until bytes more are within the limits; where the memory limit would be exceeded it goes down
// to the threshold. The caller holds room.
func (c *Cache) makeRoom(bytes int64) error {
	goal := c.config.MemoryLimit
	c.mu.Lock()
	if c.used+bytes > goal {
		goal = int64(c.config.CleanupThreshold * float64(goal))
	}
	c.mu.Unlock()
	return c.evict(func(*cacheEntry) bool { return c.used+bytes > goal || len(c.entries) > c.config.Size })
}

// evict closes unused adapters, least recently used first, as long as more says so of the next one, which it is asked with the
// lock held. Memory counts as used until it is free. The caller holds room.
func (c *Cache) evict(more func(next *cacheEntry) bool) error {
	var errs []error
	for {
		c.mu.Lock()
		e := c.leastRecent()
		if e == nil || !more(e) {
			c.mu.Unlock()
			return errors.Join(errs...)
		}
		delete(c.entries, e.key)
		c.mu.Unlock()
		errs = append(errs, e.lora.Close()) // may wait for a computation
		c.mu.Lock()
		c.used -= e.bytes
		c.stats.Evictions++
		c.mu.Unlock()
	}
}

// leastRecent is the adapter that nobody holds and that was not used for the longest time; nil where there is none.
func (c *Cache) leastRecent() *cacheEntry {
	var oldest *cacheEntry
	for _, e := range c.entries {
		if e.refs == 0 && (oldest == nil || e.lastUse < oldest.lastUse) {
			oldest = e
		}
	}
	return oldest
}

// resident hands an entry to a caller.
func (c *Cache) resident(e *cacheEntry) *Resident {
	var once sync.Once
	return &Resident{LoRA: e.lora, Targets: e.infos, Report: e.report, key: e.key, release: func() { once.Do(func() { c.release(e) }) }}
}

// release gives a reference back. Adapters that are too many now go at once.
func (c *Cache) release(e *cacheEntry) {
	c.mu.Lock()
	e.refs--
	c.touch(e)
	unused := e.refs == 0 && c.entries[e.key] == e
	crowded := unused && (c.closed || len(c.entries) > c.config.Size)
	if unused {
		e.idleFrom = time.Now()
		c.armTimer(c.config.IdleTime)
	}
	closed := c.closed
	c.mu.Unlock()
	if !crowded {
		return
	}
	c.room.Lock()
	defer c.room.Unlock()
	// What goes wrong in freeing memory now has nobody who could act on it.
	if closed {
		_ = c.evict(func(*cacheEntry) bool { return true })
	} else {
		_ = c.makeRoom(0)
	}
}

// armTimer has idle called after a time, unless it will be called anyway.
func (c *Cache) armTimer(after time.Duration) {
	if c.config.IdleTime > 0 && c.timer == nil && !c.closed {
		c.timer = time.AfterFunc(after, c.idle)
	}
}

// idle evicts what was not used for the idle time and comes again for the rest.
func (c *Cache) idle() {
	c.room.Lock()
	defer c.room.Unlock()
	_ = c.evict(func(e *cacheEntry) bool { return time.Since(e.idleFrom) >= c.config.IdleTime }) // as in release
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = nil
	if e := c.leastRecent(); e != nil {
		c.armTimer(c.config.IdleTime - time.Since(e.idleFrom))
	}
}

// Clear evicts every adapter that is not in use.
func (c *Cache) Clear() error {
	c.room.Lock()
	defer c.room.Unlock()
	return c.evict(func(*cacheEntry) bool { return true })
}

// Close evicts every unused adapter, and those in use when they are released; Acquire then fails with ErrClosed. It stops
// the idle cleanup. It may be called again.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	c.mu.Unlock()
	return c.Clear()
}
