package vae

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/daguerre-go/daguerre/internal/lease"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Fault is what is wrong with a VAE's output.
type Fault string

// The faults. SDXL's own VAE is known for them in F16: its activations go beyond 65504, become infinite, and the picture black.
const (
	NotFinite Fault = "values that are not finite"
	Black     Fault = "nothing but black"
)

// Coder runs an open model's VAE and, where the output is faulty, repeats the call on the same VAE opened in F32. After one repeat the F32
// VAE is used at once. It is safe for concurrent use as far as its model is. The model stays the caller's; Close gives back the F32 one.
type Coder struct {
	model  backend.Model
	cache  *Cache
	exact  backend.ModelConfig
	repeat bool

	mu    sync.Mutex
	lease *lease.Lease[backend.Model] // of the F32 VAE, once it was needed
}

// NewCoder makes a Coder for model. exact opens its VAE alone, in F32, through cache; where cache is nil nothing is repeated.
// A model that computes in F32 already is not repeated either.
func NewCoder(model backend.Model, cache *Cache, exact backend.ModelConfig) *Coder {
	info := model.Info()
	f32 := info.Precision == backend.PrecisionExact || info.Precision == backend.PrecisionF32
	for _, c := range info.Components {
		if (c.Name == "vae_decoder" || c.Name == "vae_encoder") && c.Opened && c.Type != backend.TypeF32 {
			f32 = false
		}
	}
	return &Coder{model: model, cache: cache, exact: exact, repeat: cache != nil && !f32}
}

// ExactConfig turns a model's configuration into that of its VAE alone in F32.
func ExactConfig(c backend.ModelConfig) backend.ModelConfig {
	file := c.Files.VAE
	if file == "" {
		file = c.Files.Model
	}
	device := c.VAEDevice
	if device == "" {
		device = c.Device
	}
	hyper := backend.Hyper{VAENormNumGroups: c.Hyper.VAENormNumGroups}
	return backend.ModelConfig{Files: backend.Files{VAE: file}, Table: tableOf(c.Table), Hyper: hyper,
		Device: device, Precision: backend.PrecisionF32, VAEType: backend.TypeF32, Threads: c.Threads, FlashAttention: c.FlashAttention,
		Convolution: c.Convolution}
}

// tableOf is the VAE's part of a model's table; nil if there is no table. The file is not read again. If the file has changed, the backend
// refuses it.
func tableOf(t *backend.Table) *backend.Table {
	if t == nil {
		return nil
	}
	part := &backend.Table{Files: t.Files, Layout: t.Layout}
	for _, w := range t.Weights {
		if w.Component == "vae_encoder" || w.Component == "vae_decoder" {
			part.Weights = append(part.Weights, w)
		}
	}
	return part
}

// Result is what a Coder's call yields.
type Result struct {
	backend.Tensor
	Plan     Plan
	Repeated Fault // what made it repeat in F32, or begin with it; "" where all was well
	Fault    Fault // what is still wrong
}

// Warning says in a sentence what happened to what, or is empty. A picture that stays black in F32 is meant to be black.
func (r Result) Warning(what string) string {
	switch {
	case r.Fault == NotFinite && r.Repeated != "":
		return fmt.Sprintf("%s has %s, in F32 too; the file or the latents are damaged", what, r.Fault)
	case r.Fault == NotFinite:
		return fmt.Sprintf("%s has %s; try precision f32 or another VAE", what, r.Fault)
	case r.Repeated != "" && r.Fault == "":
		return fmt.Sprintf("%s had %s, which happens to VAEs in half precision; it was repeated in F32. "+
			"vae_type f32 avoids that, as do VAEs made for F16", what, r.Repeated)
	}
	return ""
}

// Decode is Policy.Decode with the repeat.
func (c *Coder) Decode(ctx context.Context, p Policy, latents backend.Tensor) (Result, error) {
	if at := notFinite(latents.Data); at >= 0 {
		return Result{}, fmt.Errorf("latents: value %d is %v; the VAE was not asked", at, latents.Data[at])
	}
	return c.run(ctx, func(m backend.Model) (r Result, err error) {
		if r.Tensor, r.Plan, err = p.Decode(ctx, m, latents); err == nil {
			r.Fault = faultOf(r.Tensor)
		}
		return r, err
	})
}

// Together is how many of n pictures of height x width latent cells are worth a call of Decode together.
func (c *Coder) Together(p Policy, n, height, width int) (int, error) {
	m := c.opened()
	if m == nil {
		m = c.model
	}
	plan, err := p.PlanDecode(m, n, height, width)
	return max(plan.PerCall, 1), err
}

// opened is the F32 VAE; nil before it was needed.
func (c *Coder) opened() backend.Model {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lease == nil {
		return nil
	}
	return c.lease.Value
}

// Encode is Policy.Encode with the repeat.
func (c *Coder) Encode(ctx context.Context, p Policy, pixels backend.Tensor) (Result, error) {
	return c.run(ctx, func(m backend.Model) (r Result, err error) {
		if r.Tensor, r.Plan, err = p.Encode(ctx, m, pixels); err == nil && notFinite(r.Data) >= 0 {
			r.Fault = NotFinite
		}
		return r, err
	})
}

func (c *Coder) run(ctx context.Context, call func(backend.Model) (Result, error)) (Result, error) {
	var first Result
	exact := c.opened()
	if exact == nil {
		var err error
		first, err = call(c.model)
		if err != nil || first.Fault == "" || !c.repeat {
			return first, err
		}
		if exact, err = c.open(ctx); err != nil {
			return first, fmt.Errorf("the VAE's output has %s; opening it in F32 to repeat: %w", first.Fault, err)
		}
	}
	again, err := call(exact)
	again.Repeated = first.Fault
	return again, err
}

// open returns the VAE in F32.
func (c *Coder) open(ctx context.Context) (backend.Model, error) {
	l, err := c.cache.Acquire(ctx, c.exact)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lease != nil { // another call was faster
		return c.lease.Value, l.Release()
	}
	c.lease = l
	return l.Value, nil
}

// Close gives the F32 VAE back to its cache.
func (c *Coder) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lease != nil {
		_ = c.lease.Release() // an error of closing has nobody who could act on it
		c.lease = nil
	}
}

// blackest is the largest value that is shown as black, of 8 bits.
const blackest = -1 + 1.0/255

// faultOf looks at a decoder's output, each picture by itself.
func faultOf(pixels backend.Tensor) Fault {
	if notFinite(pixels.Data) >= 0 {
		return NotFinite
	}
	for picture := range slices.Chunk(pixels.Data, len(pixels.Data)/pixels.Shape[0]) {
		if !slices.ContainsFunc(picture, func(v float32) bool { return v > blackest }) {
			return Black
		}
	}
	return ""
}

// notFinite returns the index of the first NaN or infinity, or -1.
func notFinite(x []float32) int {
	return slices.IndexFunc(x, func(v float32) bool { return v-v != 0 })
}
