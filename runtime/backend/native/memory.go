package native

import (
	"context"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

var _ backend.AllocationFailer = (*Backend)(nil)

// openedBits translates names of components that were opened; none means all of these.
func (m *Model) openedBits(op Op, names []string) (bindings.Component, error) {
	for _, name := range names {
		i := slices.Index(componentNames[:], name)
		if i < 0 {
			return 0, invalid(op, "components", "%q is unknown; known are %s", name, strings.Join(componentNames[:], ", "))
		}
		if err := m.require(op, name); err != nil {
			return 0, err
		}
	}
	var bits bindings.Component
	for _, c := range m.info.Components {
		if c.Opened && (len(names) == 0 || slices.Contains(names, c.Name)) {
			bits |= 1 << slices.Index(componentNames[:], c.Name)
		}
	}
	return bits, nil
}

// Load implements [backend.Model].
func (m *Model) Load(ctx context.Context, components ...string) error {
	bits, err := m.openedBits(OpLoadWeights, components)
	if err != nil {
		return err
	}
	return m.run(ctx, OpLoadWeights, func() error { return m.handle.Load(bits) })
}

// Unload implements [backend.Model].
func (m *Model) Unload(components ...string) error {
	bits, err := m.openedBits(OpUnload, components)
	if err != nil {
		return err
	}
	return m.run(context.Background(), OpUnload, func() error { return m.handle.Unload(bits) })
}

// MemoryStats implements [backend.Model]. A closed model holds nothing.
func (m *Model) MemoryStats() backend.MemoryStats {
	held, _ := m.handle.Memory()
	out := backend.MemoryStats{
		Compute: held.Compute, ComputePeak: held.ComputePeak, Adapters: held.Adapters, AdaptersPeak: held.AdaptersPeak,
		Total: held.Total, TotalPeak: held.TotalPeak,
	}
	for _, c := range m.info.Components {
		if i := slices.Index(componentNames[:], c.Name); c.Opened {
			out.Components = append(out.Components, backend.ComponentMemory{
				Name: c.Name, Loaded: held.Loaded&(1<<i) != 0, Weights: held.Weights[i], WeightsPeak: held.WeightsPeak[i],
				Host: held.Host[i], HostPeak: held.HostPeak[i], Mapped: held.Mapped[i],
			})
		}
	}
	return out
}

// ResetMemoryPeaks implements [backend.Model].
func (m *Model) ResetMemoryPeaks() {
	_ = m.handle.ResetPeaks() // only a closed model refuses, which has none
}

// FailAllocations implements [backend.AllocationFailer], for all models of the process.
func (b *Backend) FailAllocations(seed int64, probability float64, after int64) (int64, error) {
	n, err := b.lib.FailAllocations(seed, probability, after)
	if err != nil {
		return 0, &Error{Op: OpTest, Err: err}
	}
	return n, nil
}
