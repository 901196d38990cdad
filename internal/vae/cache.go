package vae

import (
	"context"
	"fmt"

	"github.com/daguerre-go/daguerre/internal/lease"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// The limits of a Cache, besides what is in use. SDXL's VAE is 160 MiB in F16 and 320 MiB in F32.
const (
	cacheModels       = 4
	cacheBytes  int64 = 1 << 30
)

// Cache keeps VAEs open after use. It is safe for concurrent use.
type Cache struct {
	*lease.Cache[string, backend.Model]
	backend backend.Backend
}

// NewCache makes a cache that opens models with b.
func NewCache(b backend.Backend) *Cache { return newCache(b, cacheModels, cacheBytes) }

func newCache(b backend.Backend, models int, bytes int64) *Cache {
	return &Cache{lease.New[string](lease.Options[backend.Model]{Close: backend.Model.Close, Count: models, Bytes: bytes}), b}
}

// Acquire returns the model of cfg, opened now or before.
func (c *Cache) Acquire(ctx context.Context, cfg backend.ModelConfig) (*lease.Lease[backend.Model], error) {
	return c.Cache.Acquire(ctx, fmt.Sprintf("%+v", cfg), func(ctx context.Context) (backend.Model, int64, error) {
		m, err := c.backend.Open(ctx, cfg)
		if err != nil {
			return nil, 0, err
		}
		return m, weightBytes(m), nil
	})
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
