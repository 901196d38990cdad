package adapters

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/daguerre-go/daguerre/internal/lease"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// Active is a stack whose adapters are resident, for one run. Weights may be changed from any goroutine at any time, which
// reads no file and touches no weight of the model.
type Active struct {
	members []*lease.Lease[*Resident] // of the enabled adapters, in their order

	mu    sync.RWMutex
	stack lora.Stack // enabled adapters only
}

// Activate acquires the enabled adapters of a stack; resolve finds the file of one. If some cannot be used the error
// joins what is wrong with each, and the others stay in the cache. The caller releases the Active.
func (c *Cache) Activate(ctx context.Context, stack lora.Stack, resolve func(lora.Adapter) (string, error)) (*Active, error) {
	if err := stack.Validate(); err != nil {
		return nil, err
	}
	stack.Adapters = stack.Enabled()
	a := &Active{stack: stack}
	var errs []error
	for _, adapter := range stack.Adapters {
		r, err := c.member(ctx, adapter, stack.Strict, resolve)
		if err != nil {
			errs = append(errs, fmt.Errorf("lora %q: %w", adapter.Label(), err))
			continue
		}
		a.members = append(a.members, r)
	}
	if len(errs) > 0 {
		a.Release()
		return nil, errors.Join(errs...)
	}
	return a, nil
}

// member acquires one adapter of a stack.
func (c *Cache) member(ctx context.Context, adapter lora.Adapter, strict bool, resolve func(lora.Adapter) (string, error)) (
	*lease.Lease[*Resident], error) {
	path, err := resolve(adapter)
	if err != nil {
		return nil, err
	}
	if err := checkBlocks(adapter, c.model); err != nil {
		return nil, err
	}
	r, err := c.Acquire(ctx, path)
	if err != nil {
		return nil, err
	}
	if report := &r.Value.Report; strict && report.Partial() {
		_ = r.Release() // the error below says more
		return nil, &lora.Error{Kind: lora.ErrPartial, Adapter: path, Message: "only " + report.Summary() + "; strict is set"}
	}
	return r, nil
}

// Members returns the adapters, in the order of Stack.
func (a *Active) Members() []*Resident {
	out := make([]*Resident, len(a.members))
	for i, m := range a.members {
		out[i] = m.Value
	}
	return out
}

// Stack returns a copy of the stack as it stands: enabled adapters with their weights of now.
func (a *Active) Stack() lora.Stack {
	a.mu.RLock()
	defer a.mu.RUnlock()
	s := a.stack
	s.Adapters = slices.Clone(s.Adapters)
	return s
}

// Update changes one adapter of the stack, as Stack.Update does.
func (a *Active) Update(name string, f func(*lora.Adapter)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stack.Update(name, f)
}

// Uses returns what the model is to apply at a step (from 0) of so many: the adapters that have any weight. It is nil where
// there are none, so that the model computes exactly what it does without adapters.
func (a *Active) Uses(step, steps int) []backend.LoRAUse {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var uses []backend.LoRAUse
	for i, adapter := range a.stack.Adapters {
		if weights, active := weightsAt(a.stack, adapter, a.members[i].Value.Targets, step, steps); active {
			uses = append(uses, backend.LoRAUse{LoRA: a.members[i].Value.LoRA, Weights: weights})
		}
	}
	return uses
}

// TextKey tells whether two steps apply the same to the text encoders: equal keys mean equal embeddings.
func (a *Active) TextKey(step, steps int) string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var key strings.Builder
	for i, adapter := range a.stack.Adapters {
		c := a.members[i].Value.Report.Components
		if c[lora.TextEncoder]+c[lora.TextEncoder2] == 0 {
			continue
		}
		w := 0.0
		if adapter.ActiveAt(step, steps) {
			w = a.stack.EffectiveWeight(adapter, lora.TextEncoder)
		}
		fmt.Fprintf(&key, "%x %v;", w, adapter.BlockWeights) // maps print in the order of their keys
	}
	return key.String()
}

// UseKey tells what uses, which Uses returned, do to one component. Equal keys mean that it computes the same, also of two Actives of one
// model. The key is empty where they do nothing to it.
func (a *Active) UseKey(uses []backend.LoRAUse, component string) string {
	var key strings.Builder
	for _, u := range uses {
		i := slices.IndexFunc(a.members, func(r *lease.Lease[*Resident]) bool { return r.Value.LoRA == u.LoRA })
		if i < 0 {
			continue
		}
		var weights []float32
		acts := false
		for t, target := range a.members[i].Value.Targets {
			if strings.HasPrefix(target.Module, component+".") {
				weights = append(weights, u.Weights[t])
				acts = acts || u.Weights[t] != 0
			}
		}
		if acts {
			fmt.Fprintf(&key, "%q %x;", fmt.Sprint(a.members[i].Value.key), weights)
		}
	}
	return key.String()
}

// Release gives all adapters back. It may be called again.
func (a *Active) Release() {
	for _, r := range a.members {
		_ = r.Release() // an error of freeing memory has nobody who could act on it
	}
}
