package vae

import (
	"cmp"
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

// Coder runs an open model's VAE and, where the output is faulty, repeats the call on the same VAE opened in F32. If it is not finite even
// then, on a device that is not the CPU, it is repeated on the CPU: drivers may round to half precision whatever they are given. What a
// repeat needed is used at once afterwards. It is safe for concurrent use as far as its model is. The model stays the caller's; Close gives
// back the others.
type Coder struct {
	model   backend.Model
	cache   *Cache
	repeats []repeat // in turn

	mu     sync.Mutex
	leases []*lease.Lease[backend.Model] // of the VAEs of the repeats that were needed, which other calls may be using still
}

// repeat is another way to run the VAE.
type repeat struct {
	config backend.ModelConfig
	name   string
	onCPU  bool
}

// hostID is the CPU's device.
const hostID = "cpu"

// NewCoder makes a Coder for model. exact opens its VAE alone, in F32, through cache; where cache is nil nothing is repeated.
// A model that computes in F32 on the CPU already is not repeated either.
func NewCoder(model backend.Model, cache *Cache, exact backend.ModelConfig) *Coder {
	c := &Coder{model: model, cache: cache}
	if cache == nil {
		return c
	}
	info := model.Info()
	f32, device := info.Precision == backend.PrecisionExact || info.Precision == backend.PrecisionF32, hostID
	for _, part := range info.Components {
		if (part.Name == "vae_decoder" || part.Name == "vae_encoder") && part.Opened {
			f32, device = f32 && part.Type == backend.TypeF32, part.Device
		}
	}
	if !f32 {
		c.repeats = append(c.repeats, repeat{config: exact, name: "in F32"})
	}
	if device != hostID && device != "" {
		exact.Device = hostID
		c.repeats = append(c.repeats, repeat{config: exact, name: "in F32 on the CPU", onCPU: true})
	}
	return c
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
	Repeated Fault  // what made it repeat; "" where all was well
	Fault    Fault  // what is still wrong
	how      string // it was computed at last, if it was repeated
	remedy   string
}

// Warning says in a sentence what happened to what, or is empty. A picture that stays black in F32 is meant to be black.
func (r Result) Warning(what string) string {
	switch {
	case r.Fault == NotFinite && r.Repeated != "":
		return fmt.Sprintf("%s has %s, %s too; the file or the latents are damaged", what, r.Fault, r.how)
	case r.Fault == NotFinite:
		return fmt.Sprintf("%s has %s; try precision f32 or another VAE", what, r.Fault)
	case r.Repeated != "" && r.Fault == "":
		return fmt.Sprintf("%s had %s, which happens to VAEs in half precision; it was repeated %s. "+
			"%s avoids that, as do VAEs made for F16", what, r.Repeated, r.how, r.remedy)
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
	m, _ := c.last()
	plan, err := p.PlanDecode(m, n, height, width)
	return max(plan.PerCall, 1), err
}

// last is the VAE that calls begin with, and the repeat that is next.
func (c *Coder) last() (m backend.Model, next int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.leases); n > 0 {
		return c.leases[n-1].Value, n
	}
	return c.model, 0
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

func (c *Coder) run(ctx context.Context, call func(backend.Model) (Result, error)) (r Result, err error) {
	m, at := c.last()
	var first Fault
	var how repeat
	for {
		if r, err = call(m); err != nil {
			return r, err
		}
		if first != "" {
			r.Repeated, r.how, r.remedy = first, how.name, how.remedy()
		}
		if r.Fault == "" || at == len(c.repeats) || c.repeats[at].onCPU && r.Fault != NotFinite {
			return r, nil
		}
		how, first = c.repeats[at], cmp.Or(first, r.Fault)
		if m, err = c.open(ctx, at); err != nil {
			return r, fmt.Errorf("the VAE's output has %s; opening it %s to repeat: %w", r.Fault, how.name, err)
		}
		at++
	}
}

// remedy is what makes a repeat needless.
func (r repeat) remedy() string {
	if r.onCPU {
		return "vae_device cpu"
	}
	return "vae_type f32"
}

// open returns the VAE of a repeat, the at-th.
func (c *Coder) open(ctx context.Context, at int) (backend.Model, error) {
	l, err := c.cache.Acquire(ctx, c.repeats[at].config)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.leases) > at { // another call was faster
		return c.leases[at].Value, l.Release()
	}
	c.leases = append(c.leases, l)
	return l.Value, nil
}

// Close gives the repeats' VAEs back to their cache.
func (c *Coder) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.leases {
		_ = l.Release() // an error of closing has nobody who could act on it
	}
	c.leases = nil
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
