package scheduler

import (
	"fmt"
	"slices"
	"sync"
)

// Cache keeps schedulers with their tables, so that equal requests share one. That is safe because schedulers never
// change. It is safe for concurrent use.
type Cache struct {
	mu      sync.Mutex
	limit   int
	entries []cacheEntry // the last used first
	stats   CacheStats
}

type cacheEntry struct {
	key string
	s   Scheduler
}

// CacheStats counts what a Cache did.
type CacheStats struct {
	Hits      int64 `json:"hits"`
	Misses    int64 `json:"misses"`
	Evictions int64 `json:"evictions"`
	Size      int   `json:"size"`
	Limit     int   `json:"limit"`
}

// NewCache returns a cache of at most limit schedulers, at least one; the one unused for longest gives way.
func NewCache(limit int) *Cache {
	return &Cache{limit: max(limit, 1)}
}

// Get returns New(name, cfg), or an equal scheduler made before. Names that resolve to the same class and options
// share one. Errors are not kept.
func (c *Cache) Get(name string, cfg Config) (Scheduler, error) { return c.get(name, cfg, false) }

// GetStrict is Get for [NewStrict].
func (c *Cache) GetStrict(name string, cfg Config) (Scheduler, error) { return c.get(name, cfg, true) }

func (c *Cache) get(name string, cfg Config, strict bool) (Scheduler, error) {
	a, preset, err := resolve(name)
	if err != nil {
		return nil, err
	}
	cfg = cfg.With(preset)
	key := fmt.Sprint(a.name, strict, cfg.Map()) // maps are printed in the order of their keys
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.IndexFunc(c.entries, func(e cacheEntry) bool { return e.key == key }); i >= 0 {
		c.stats.Hits++
		e := c.entries[i]
		c.entries = slices.Insert(slices.Delete(c.entries, i, i+1), 0, e)
		return e.s, nil
	}
	c.stats.Misses++
	s, err := a.build(cfg, strict)
	if err != nil {
		return nil, err
	}
	c.entries = slices.Insert(c.entries, 0, cacheEntry{key, s})
	if n := len(c.entries); n > c.limit {
		c.entries = slices.Delete(c.entries, n-1, n)
		c.stats.Evictions++
	}
	return s, nil
}

// Stats returns the counts so far.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Size, s.Limit = len(c.entries), c.limit
	return s
}

// Clear empties the cache; the counts stay.
func (c *Cache) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries = nil
}
