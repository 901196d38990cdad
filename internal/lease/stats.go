package lease

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Stats tells what a Cache did since it was made.
type Stats struct {
	Opens     int
	Hits      int
	Misses    int
	Evictions int // values that were closed
	Failures  int // openings that failed or were abandoned
	Bytes     int64
	PeakBytes int64

	OpenTime, LastOpen, MaxOpen time.Duration // of openings: all together, the last, the longest
}

func (s *Stats) opened(took time.Duration) {
	s.Opens++
	s.OpenTime += took
	s.LastOpen = took
	s.MaxOpen = max(s.MaxOpen, took)
}

// Item describes one open value.
type Item[K comparable, V any] struct {
	Key   K
	Value V
	Bytes int64
	Uses  int           // times it was acquired
	InUse int           // users now
	Took  time.Duration // to open
}

// Stats returns the statistics as of now. Bytes hold what is reserved for openings, too.
func (c *Cache[K, V]) Stats() Stats {
	stats, _ := c.Report()
	return stats
}

// List describes what is open, the most recently used first.
func (c *Cache[K, V]) List() []Item[K, V] {
	_, items := c.Report()
	return items
}

// Report returns Stats and List of one moment.
func (c *Cache[K, V]) Report() (Stats, []Item[K, V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	open := slices.Collect(maps.Values(c.entries))
	open = slices.DeleteFunc(open, func(e *entry[K, V]) bool { return !e.open })
	slices.SortFunc(open, func(a, b *entry[K, V]) int { return cmp.Compare(b.lastUse, a.lastUse) })
	var items []Item[K, V]
	for _, e := range open {
		items = append(items, Item[K, V]{Key: e.key, Value: e.value, Bytes: e.bytes, Uses: e.uses, InUse: e.users, Took: e.took})
	}
	return c.stats, items
}
