package pipeline

import (
	"errors"
	"sync"

	"github.com/daguerre-go/daguerre/runtime/lora"
)

// ErrNotRunning is returned by a LoRAHandle whose job has not begun to compute, or has ended.
var ErrNotRunning = errors.New("no job with adapters is running under this handle")

// LoRAHandle changes the adapters of a running job, given to it with WithLoRAs. A change acts from the next denoising step on; it
// reads no file and touches no weight of the model. Its methods may be called from any goroutine, also from
// WithProgress's function. The zero value is ready; a handle serves one job at a time.
type LoRAHandle struct {
	mu     sync.Mutex
	active *lora.Active
}

// WithLoRAs lets h change the adapters of this call while it runs.
func WithLoRAs(h *LoRAHandle) GenerateOption {
	return func(o *generateOptions) { o.loras = h }
}

// SetWeight sets an adapter's weight for the UNet and the text encoders. Where the adapter changes the text encoders, the prompts
// are encoded again before the next step.
func (h *LoRAHandle) SetWeight(name string, weight float64) error {
	return h.Update(name, func(a *lora.Adapter) { a.Weight, a.UNetWeight, a.TextEncoderWeight = weight, nil, nil })
}

// SetUNetWeight sets an adapter's weight for the UNet alone.
func (h *LoRAHandle) SetUNetWeight(name string, weight float64) error {
	return h.Update(name, func(a *lora.Adapter) { a.UNetWeight = &weight })
}

// SetEnabled switches an adapter that is in the running stack on or off.
func (h *LoRAHandle) SetEnabled(name string, enabled bool) error {
	return h.Update(name, func(a *lora.Adapter) { a.Enabled = enabled })
}

// Update changes any of an adapter's settings but its name and path. Errors match ErrNotRunning, lora.ErrNotFound (the stack
// has no such adapter) and lora.ErrConfig (a value that cannot be used; nothing is changed).
func (h *LoRAHandle) Update(name string, f func(*lora.Adapter)) error {
	h.mu.Lock()
	active := h.active
	h.mu.Unlock()
	if active == nil {
		return ErrNotRunning
	}
	return active.Update(name, f)
}

// Stack returns the running job's adapters with their weights of now; an empty one where none runs.
func (h *LoRAHandle) Stack() lora.Stack {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.active == nil {
		return lora.Stack{}
	}
	return h.active.Stack()
}

func (h *LoRAHandle) attach(active *lora.Active) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.active != nil {
		return errors.New("the LoRAHandle serves another job; give each its own")
	}
	h.active = active
	return nil
}

func (h *LoRAHandle) detach(active *lora.Active) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.active == active {
		h.active = nil
	}
}
