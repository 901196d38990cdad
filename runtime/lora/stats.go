package lora

import (
	"cmp"
	"slices"
	"time"
)

// Stats tells what a Cache did since it was made.
type Stats struct {
	Loads     int           `json:"loads"`
	Hits      int           `json:"hits"`
	Misses    int           `json:"misses"`
	HitRate   float64       `json:"hit_rate"` // hits of all lookups, 0 to 1
	Evictions int           `json:"evictions"`
	Failures  int           `json:"failures"` // files that could not be loaded
	LoadTime  time.Duration `json:"load_time_ns"`
	LastLoad  time.Duration `json:"last_load_ns"`
	MaxLoad   time.Duration `json:"max_load_ns"`

	Bytes       int64          `json:"bytes"` // resident now, with what is reserved for loading
	PeakBytes   int64          `json:"peak_bytes"`
	MemoryLimit int64          `json:"memory_limit"`
	Adapters    []AdapterStats `json:"adapters"` // resident now, the most recently used first
}

// AdapterStats describes one resident adapter.
type AdapterStats struct {
	Name     string        `json:"name"`
	Path     string        `json:"path"` // of the file that was loaded, with its size and time then
	Size     int64         `json:"size"`
	ModTime  time.Time     `json:"modified"`
	Bytes    int64         `json:"bytes"`
	Uses     int           `json:"uses"`   // times it was acquired
	InUse    int           `json:"in_use"` // holders now
	LoadTime time.Duration `json:"load_time_ns"`
}

func (s *Stats) load(took time.Duration) {
	s.Loads++
	s.LoadTime += took
	s.LastLoad = took
	s.MaxLoad = max(s.MaxLoad, took)
}

func (s *Stats) peak(bytes int64) { s.PeakBytes = max(s.PeakBytes, bytes) }

// Stats returns the statistics as of now.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Bytes, s.MemoryLimit = c.used, c.config.MemoryLimit
	if n := s.Hits + s.Misses; n > 0 {
		s.HitRate = float64(s.Hits) / float64(n)
	}
	var resident []*cacheEntry
	for _, e := range c.entries {
		select {
		case <-e.ready:
			resident = append(resident, e)
		default: // being loaded
		}
	}
	slices.SortFunc(resident, func(a, b *cacheEntry) int { return cmp.Compare(b.lastUse, a.lastUse) })
	for _, e := range resident {
		s.Adapters = append(s.Adapters, AdapterStats{Name: e.report.Name, Path: e.key.path, Size: e.key.size, ModTime: time.Unix(0, e.key.mtime), Bytes: e.bytes, Uses: e.uses, InUse: e.refs, LoadTime: e.report.LoadTime})
	}
	return s
}
