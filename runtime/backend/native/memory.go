package native

import (
	"context"
	"slices"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/internal/contract"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

var _ backend.AllocationFailer = (*Backend)(nil)

// Load implements [backend.Model].
func (m *Model) Load(ctx context.Context, components ...string) error {
	return m.place(ctx, opLoad, components, m.handle.Load)
}

// Unload implements [backend.Model].
func (m *Model) Unload(components ...string) error {
	return m.place(context.Background(), opUnload, components, m.handle.Unload)
}

func (m *Model) place(ctx context.Context, op string, components []string, call func(set int32) error) error {
	names, err := contract.Named(m.info, components)
	if err != nil {
		return refused(op, err)
	}
	return m.run(ctx, op, func() error { return call(bits(names)) })
}

// MemoryStats implements [backend.Model]. A closed model holds nothing.
func (m *Model) MemoryStats() backend.MemoryStats {
	held, _ := m.handle.Memory()
	out := backend.MemoryStats{
		Compute: held.Compute, ComputePeak: held.ComputePeak, Adapters: held.Adapters, AdaptersPeak: held.AdaptersPeak,
		Total: held.Total, TotalPeak: held.TotalPeak,
	}
	for _, c := range m.info.Components {
		if i := slices.Index(bindings.Components[:], c.Name); c.Opened {
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
	return n, wrapped("letting allocations fail", err)
}
