package pipeline

import (
	"errors"
	"slices"
	"sync"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// ErrNotRunning is returned by a LoRAHandle whose job has not begun, has ended, or has no adapters.
var ErrNotRunning = errors.New("no job with adapters is running under this handle")

var errHandleInUse = errors.New("the LoRAHandle serves another job; give each its own")

// LoRAHandle changes the adapters of a job. Give it to Generate with WithLoRAs: it works while that call runs. Or give it to a job of a
// Batcher with JobOptions: it works from Hold or Submit until the job ends.
//
// A change acts from the next denoising step on. For a Batcher's job it also acts on all later batches. It reads no file and touches no
// weight of the model. You may call the methods from any goroutine, also from WithProgress's function. The zero value is ready to use.
// A handle serves one job at a time.
type LoRAHandle struct {
	mu     sync.Mutex
	active []*adapters.Active // of what runs: several where a job's batches run on several pipelines at once
	serves *heldLoRAs         // the Batcher's job that they run for; nil for Generate
	held   *heldLoRAs         // of a Batcher's job
}

// heldLoRAs are the adapters of a Batcher's job as they were changed so far. The handle's mutex guards them.
type heldLoRAs struct {
	plan      *Planned
	stack     lora.Stack      // enabled ones, and those that were switched off since
	submitted bool            // or being submitted
	ended     <-chan struct{} // nil before it is submitted
}

// SetWeight sets an adapter's weight for the UNet and the text encoders. Where the adapter changes the text encoders, the prompts
// are encoded again before the next step.
func (h *LoRAHandle) SetWeight(name string, weight float64) error {
	return h.Update(name, func(a *lora.Adapter) { a.Weight, a.UNetWeight, a.TextEncoderWeight = &weight, nil, nil })
}

// SetUNetWeight sets an adapter's weight for the UNet alone.
func (h *LoRAHandle) SetUNetWeight(name string, weight float64) error {
	return h.Update(name, func(a *lora.Adapter) { a.UNetWeight = &weight })
}

// SetEnabled switches an adapter that is in the running stack on or off.
func (h *LoRAHandle) SetEnabled(name string, enabled bool) error {
	return h.Update(name, func(a *lora.Adapter) { a.Enabled = &enabled })
}

// Update changes any of an adapter's settings but its name and path. Errors match ErrNotRunning, lora.ErrNotFound (the stack
// has no such adapter) and lora.ErrConfig (a value that cannot be used; nothing is changed).
func (h *LoRAHandle) Update(name string, f func(*lora.Adapter)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	held := h.job()
	if held == nil && len(h.active) == 0 {
		return ErrNotRunning
	}
	if held != nil {
		var changed lora.Adapter
		if err := held.stack.Update(name, func(a *lora.Adapter) { f(a); changed = *a }); err != nil {
			return err
		}
		f = func(a *lora.Adapter) { *a = changed }
	}
	for _, active := range h.active {
		if err := active.Update(name, f); err != nil {
			return err
		}
	}
	return nil
}

// Stack returns the job's adapters with their weights of now; an empty one where there is none.
func (h *LoRAHandle) Stack() lora.Stack {
	h.mu.Lock()
	defer h.mu.Unlock()
	if held := h.job(); held != nil {
		s := held.stack
		s.Adapters = slices.Clone(s.Adapters)
		return s
	}
	if len(h.active) == 0 {
		return lora.Stack{}
	}
	return h.active[0].Stack()
}

// job is the Batcher's job that the handle serves; nil where there is none, or it has ended. A job ends when its last picture is handed
// over, a moment before its batch gives the adapters back: the handle lets go of them here. The mutex is held.
func (h *LoRAHandle) job() *heldLoRAs {
	if h.held != nil {
		select {
		case <-h.held.ended:
			if h.serves == h.held {
				h.active, h.serves = nil, nil
			}
			h.held = nil
		default:
		}
	}
	return h.held
}

// Hold has h serve the job that a plan will be submitted as, with h in its JobOptions, so that changes made before Submit count, too. It
// does nothing where the plan has no adapters, and takes the place of a Hold that was not submitted.
func (h *LoRAHandle) Hold(plan *Planned) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(plan.prep.Adapters.Enabled()) == 0 {
		return nil
	}
	if held := h.job(); len(h.active) > 0 || held != nil && held.submitted {
		return errHandleInUse
	}
	h.held = &heldLoRAs{plan: plan, stack: enabledOf(plan)}
	return nil
}

// enabledOf is a plan's stack of enabled adapters.
func enabledOf(plan *Planned) lora.Stack {
	s := plan.prep.Adapters.Stack
	s.Adapters = s.Enabled()
	return s
}

// submit returns what the handle holds for a plan that is about to be submitted.
func (h *LoRAHandle) submit(plan *Planned) (*heldLoRAs, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	held := h.job()
	switch {
	case len(h.active) > 0 || held != nil && (held.submitted || held.plan != plan):
		return nil, errHandleInUse
	case held == nil:
		held = &heldLoRAs{plan: plan, stack: enabledOf(plan)}
	}
	held.submitted, h.held = true, held
	return held, nil
}

// submitted tells when the job ends; nil: it was not taken.
func (h *LoRAHandle) submitted(held *heldLoRAs, ended <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case ended != nil:
		held.ended = ended
	case h.held == held:
		h.held = nil
	}
}

// attach gives the handle what runs; held is that of the Batcher's job it runs for, whose changes so far it takes over.
func (h *LoRAHandle) attach(active *adapters.Active, held *heldLoRAs) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	job := h.job()
	switch {
	case len(h.active) > 0 && (held == nil || h.serves != held) || job != nil && job != held:
		return errHandleInUse
	case held != nil && job == nil:
		return nil // cancelled before its batch began: the handle is free for the next job
	case held != nil:
		for _, a := range held.stack.Adapters {
			if err := active.Update(a.Label(), func(x *lora.Adapter) { *x = a }); err != nil {
				return err
			}
		}
	}
	h.active, h.serves = append(h.active, active), held
	return nil
}

func (h *LoRAHandle) detach(active *adapters.Active) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.Index(h.active, active); i >= 0 {
		h.active = slices.Delete(h.active, i, i+1)
	}
}
