package plan

import (
	"errors"
	"fmt"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/prepare"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// rankStep is what the ranks of a module's adapters together are rounded up to where they are applied: filled_rank of
// native/src/lora/adapter.h.
const rankStep = 32

// adapt makes the planner know what adapters can change, and the types they are held in.
func (p *Planner) adapt(modules []backend.Module, components []memory.Component, policyOf func(component string) memory.TypePolicy) {
	p.modules = adapters.NewModel(modules)
	for _, c := range components {
		p.policies[c.Name] = policyOf(c.Name)
	}
}

// adaptersOf is what the adapters of a request take.
func (p *Planner) adaptersOf(a prepare.Adapters) (memory.Adapters, error) {
	var all, always []adapters.Change
	var errs []error
	names, steady := "", ""
	for _, one := range a.Enabled() {
		names += a.Path(one) + "\x00"
		changes, err := p.changes(a.Path(one))
		if err != nil {
			errs = append(errs, fmt.Errorf("lora %q: %w", one.Label(), err))
		}
		all = append(all, changes...)
		if f := one.Filled(); f.Start == 0 && f.End >= 1 {
			always = append(always, changes...)
			steady += a.Path(one) + "\x00"
		}
	}
	out := adapterBytes(all, p.policies)
	out.LoRAs, out.Always, out.Timed = p.lorasOf(names, all), p.lorasOf(steady, always), steady != names
	return out, errors.Join(errs...)
}

// lorasOf returns the one value of a set of adapters, which what was measured with it is found by.
func (p *Planner) lorasOf(names string, changes []adapters.Change) *memory.LoRAs {
	if len(changes) == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.loras[names] == nil {
		l := &memory.LoRAs{}
		for _, c := range changes {
			l.Shapes = append(l.Shapes, c.Shape())
		}
		p.loras[names] = l
	}
	return p.loras[names]
}

// changes lists what the adapter of a file changes.
func (p *Planner) changes(path string) ([]adapters.Change, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.adapters[path]; ok {
		return c, nil
	}
	f, err := adapters.Open(path, p.modules)
	if err != nil {
		return nil, err
	}
	p.adapters[path] = f.Changes()
	return p.adapters[path], f.Close()
}

// adapterBytes adds up what changes take as they are kept, and once more as they are applied together. Of one module, all low-rank changes
// become one: its rank is the sum, rounded up. So a small rank takes several times as much as its file.
func adapterBytes(changes []adapters.Change, policies map[string]memory.TypePolicy) memory.Adapters {
	var out memory.Adapters
	ranks := map[backend.Module]int64{}
	for _, c := range changes {
		w := memory.Weight{Use: backend.UseVector, In: c.Elements, Out: 1}
		if c.Matrix() {
			w.Use = backend.UseTable // of the dense type
		}
		bytes := policies[c.Module.Component].Bytes(w)
		out.Kept += bytes
		if c.Form == backend.LoRALowRank {
			ranks[c.Module] += int64(c.Rank)
		} else {
			out.Applied += bytes
			out.Changes++
		}
	}
	for m, rank := range ranks {
		rank = (rank + rankStep - 1) / rankStep * rankStep
		down, up := memory.Weight{In: int64(m.In), Out: rank, Kernel: int64(m.Kernel)}, memory.Weight{In: rank, Out: int64(m.Out),
			Kernel: min(int64(m.Kernel), 1)}
		for _, w := range []memory.Weight{down, up} {
			w.Use = backend.UseTable
			if w.Kernel > 0 {
				w.Use = backend.UseConv
			}
			out.Applied += policies[m.Component].Bytes(w)
		}
		out.Changes++
	}
	return out
}
