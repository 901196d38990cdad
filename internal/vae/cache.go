package vae

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// ErrCacheClosed is returned by Acquire after Close.
var ErrCacheClosed = errors.New("the VAE cache is closed")

// Limits bound what a Cache keeps open besides what is in use; zero fields mean the defaults.
type Limits struct {
	Models int   // 0: DefaultCacheModels
	Bytes  int64 // of weights; 0: DefaultCacheBytes
}

// The values that stand for zero Limits: SDXL's VAE is 160 MiB in F16 and 320 MiB in F32.
const (
	DefaultCacheModels       = 4
	DefaultCacheBytes  int64 = 1 << 30
)

// Cache keeps VAEs open after use, the most recently used first, within its limits. What is in use is never closed, so that a
// limit can be passed by what is needed at once. It is safe for concurrent use.
type Cache struct {
	backend backend.Backend
	limits  Limits

	mu      sync.Mutex
	entries []*entry // the most recently used first
	closed  bool
}

type entry struct {
	key   string
	ready chan struct{} // closed when model and err are set
	model backend.Model
	err   error
	bytes int64
	users int
}

// NewCache makes a cache that opens models with b.
func NewCache(b backend.Backend, limits Limits) *Cache {
	if limits.Models == 0 {
		limits.Models = DefaultCacheModels
	}
	if limits.Bytes == 0 {
		limits.Bytes = DefaultCacheBytes
	}
	return &Cache{backend: b, limits: limits}
}

// Lease is the use of a model of a Cache until Release.
type Lease struct {
	cache *Cache
	entry *entry
	once  sync.Once
}

// Model is the open model; it must not be closed.
func (l *Lease) Model() backend.Model { return l.entry.model }

// Release ends the use; it may be called again.
func (l *Lease) Release() { l.once.Do(func() { l.cache.release(l.entry) }) }

// Acquire returns the model of cfg, opened now or before. Two calls at once open it once; if the one that opens is cancelled,
// so is the other.
func (c *Cache) Acquire(ctx context.Context, cfg backend.ModelConfig) (*Lease, error) {
	key := fmt.Sprintf("%+v", cfg)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, ErrCacheClosed
	}
	at := slices.IndexFunc(c.entries, func(e *entry) bool { return e.key == key })
	var e *entry
	if at >= 0 {
		e = c.entries[at]
		c.entries = slices.Delete(c.entries, at, at+1)
	} else {
		e = &entry{key: key, ready: make(chan struct{})}
	}
	e.users++
	c.entries = slices.Insert(c.entries, 0, e)
	c.mu.Unlock()
	if at >= 0 {
		<-e.ready
	} else {
		model, err := c.backend.Open(ctx, cfg)
		c.mu.Lock()
		e.model, e.err = model, err
		if err == nil {
			e.bytes = weightBytes(model)
		}
		c.mu.Unlock()
		close(e.ready)
	}
	if e.err != nil {
		c.release(e)
		return nil, e.err
	}
	return &Lease{cache: c, entry: e}, nil
}

// weightBytes is what a model's weights take.
func weightBytes(m backend.Model) (n int64) {
	for _, part := range m.Info().Components {
		if part.Opened {
			n += part.ParameterBytes
		}
	}
	return n
}

// Len returns how many models are open.
func (c *Cache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}

func (c *Cache) release(e *entry) {
	c.mu.Lock()
	e.users--
	out := c.trim()
	c.mu.Unlock()
	_ = closeAll(out) // the models are of no further use either way
}

// trim takes out what is not in use and beyond the limits, or could not be opened; the caller holds mu and closes it.
func (c *Cache) trim() (out []*entry) {
	limits := c.limits
	if c.closed {
		limits = Limits{}
	}
	models, bytes := 0, int64(0)
	for _, e := range c.entries {
		if e.users > 0 {
			models, bytes = models+1, bytes+e.bytes
		}
	}
	c.entries = slices.DeleteFunc(c.entries, func(e *entry) bool {
		if e.users > 0 {
			return false
		}
		if e.err == nil && models < limits.Models && bytes+e.bytes <= limits.Bytes {
			models, bytes = models+1, bytes+e.bytes
			return false
		}
		out = append(out, e)
		return true
	})
	return out
}

// Close closes what is not in use now, and the rest when it is released.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.closed = true
	out := c.trim()
	c.mu.Unlock()
	return closeAll(out)
}

func closeAll(entries []*entry) error {
	var errs []error
	for _, e := range entries {
		if e.model != nil {
			errs = append(errs, e.model.Close())
		}
	}
	return errors.Join(errs...)
}
