package lora

import "time"

// The limits of a CacheConfig.
const (
	MaxMemoryLimitMB = 1 << 24
	MaxCacheSize     = 10_000
	MaxIdleSeconds   = 365 * 24 * 3600
	minIdleSeconds   = -1 << 31
)

// CacheConfig limits the adapters that stay in a model's memory: the [model.lora_cache] table. The zero value of each field is its default.
type CacheConfig struct {
	MemoryLimitMB    int     `key:"memory_limit_mb" default:"4096" doc:"largest memory of all adapters together, in MiB"`
	CacheSize        int     `key:"cache_size" default:"8" doc:"number of unused adapters to keep"`
	CleanupThreshold float64 `key:"cache_cleanup_threshold" default:"0.8" doc:"if the limit is reached, adapters that were not used for longest are dropped until this fraction of the limit is left"`
	IdleSeconds      int     `key:"idle_seconds" default:"300" doc:"an adapter that was not used for so long is dropped. Negative: never"`
}

// Filled returns the configuration with the default of each field that is 0.
func (c CacheConfig) Filled() CacheConfig {
	if c.MemoryLimitMB == 0 {
		c.MemoryLimitMB = 4096
	}
	if c.CacheSize == 0 {
		c.CacheSize = 8
	}
	if c.CleanupThreshold == 0 {
		c.CleanupThreshold = 0.8
	}
	if c.IdleSeconds == 0 {
		c.IdleSeconds = 300
	}
	return c
}

// Validate checks every field and returns all that is wrong as FieldErrors, or nil.
func (c CacheConfig) Validate() error {
	var errs FieldErrors
	errs.between("lora_cache.memory_limit_mb", c.MemoryLimitMB, 0, MaxMemoryLimitMB)
	errs.between("lora_cache.cache_size", c.CacheSize, 0, MaxCacheSize)
	errs.number("lora_cache.cache_cleanup_threshold", c.CleanupThreshold, 0, 1)
	errs.between("lora_cache.idle_seconds", c.IdleSeconds, minIdleSeconds, MaxIdleSeconds)
	return errs.err()
}

// Stats tells what a model's cache of adapters did since the model was opened.
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
