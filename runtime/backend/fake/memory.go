package fake

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/daguerre-go/daguerre/internal/contract"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

var _ backend.AllocationFailer = (*Backend)(nil)

// Bytes of the fake's weights, in the proportions of SDXL's.
var weightBytes = map[string]int64{
	"text_encoder": 1000, "text_encoder_2": 6000, "unet": 20000, "vae_encoder": 200, "vae_decoder": 300,
	"controlnet": 10000, "upscaler": 100, "detector": 50,
}

// leastWindow is the smallest window of a streamed component, as a share of its weights.
const leastWindow = 10

// failures decides which allocations fail.
type failures struct {
	mu          sync.Mutex
	random      *rand.Rand
	probability float64
	after       int64
	allocations int64
}

// FailAllocations implements [backend.AllocationFailer].
func (b *Backend) FailAllocations(seed int64, probability float64, after int64) (int64, error) {
	if !(probability >= 0 && probability <= 1) {
		return 0, fmt.Errorf("fake: %w", contract.Invalid("probability", "%v is not in 0..1", probability))
	}
	f := &b.failures
	f.mu.Lock()
	defer f.mu.Unlock()
	past := f.allocations
	f.random, f.probability, f.after, f.allocations = rand.New(rand.NewPCG(uint64(seed), 0)), probability, after, 0
	return past, nil
}

// allocate is one allocation; it fails where FailAllocations or the backend's MemoryLimit say so.
func (m *model) allocate(what string, bytes int64) error {
	f := &m.backend.failures
	f.mu.Lock()
	f.allocations++
	fails := f.allocations > f.after && f.probability > 0 && f.random.Float64() < f.probability
	f.mu.Unlock()
	limit := m.backend.MemoryLimit
	if fails || limit > 0 && m.MemoryStats().Total+bytes > limit {
		return fmt.Errorf("fake: %s: %d bytes could not be allocated on cpu: %w", what, bytes, backend.ErrOutOfMemory)
	}
	return nil
}

// holdings is what a model holds. It has a lock of its own, for it is read beside a running call.
type holdings struct {
	mu    sync.Mutex
	stats backend.MemoryStats
	shape string // of the compute buffer
}

// change edits the holdings and keeps sums and peaks.
func (h *holdings) change(edit func(s *backend.MemoryStats)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.stats
	edit(s)
	s.Total = s.Compute + s.Adapters
	for i := range s.Components {
		c := &s.Components[i]
		c.WeightsPeak = max(c.WeightsPeak, c.Weights)
		s.Total += c.Weights + c.Host
	}
	s.ComputePeak, s.AdaptersPeak, s.TotalPeak = max(s.ComputePeak, s.Compute), max(s.AdaptersPeak, s.Adapters), max(s.TotalPeak, s.Total)
}

// MemoryStats tells what the model pretends to hold.
func (m *model) MemoryStats() backend.MemoryStats {
	m.holds.mu.Lock()
	defer m.holds.mu.Unlock()
	s := m.holds.stats
	s.Components = slices.Clone(s.Components)
	return s
}

// ResetMemoryPeaks sets the peaks to what is held.
func (m *model) ResetMemoryPeaks() {
	m.holds.change(func(s *backend.MemoryStats) {
		s.ComputePeak, s.AdaptersPeak, s.TotalPeak = 0, 0, 0
		for i := range s.Components {
			s.Components[i].WeightsPeak = 0
		}
	})
}

// placeWeights checks the configuration, and loads what is resident.
func (m *model) placeWeights() error {
	if err := contract.Config(m.cfg); err != nil {
		return m.check(err)
	}
	contract.Place(m.info, m.cfg)
	for _, c := range m.info.Components {
		if !c.Opened {
			continue
		}
		window := m.cfg.StreamBytes
		if least := c.ParameterBytes / leastWindow; c.Residency == backend.ResidencyStream && window != 0 && window < least {
			return m.check(contract.Invalid("stream_bytes", "%d is less than the largest layer of the %s, %d", window, c.Name, least))
		}
		m.holds.change(func(s *backend.MemoryStats) {
			s.Components = append(s.Components, backend.ComponentMemory{Name: c.Name})
		})
	}
	for _, c := range m.info.Components {
		if c.Residency == backend.ResidencyResident {
			if err := m.loadWeights(c.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// loadWeights makes a component's weights resident, each in its way.
func (m *model) loadWeights(name string) error {
	c := m.info.Components[slices.IndexFunc(m.info.Components, func(c backend.ComponentInfo) bool { return c.Name == name })]
	resident, mapped := c.ParameterBytes, int64(0)
	switch {
	case c.Residency == backend.ResidencyStream && m.cfg.StreamBytes > 0:
		resident = min(resident, m.cfg.StreamBytes)
	case c.Residency == backend.ResidencyMmap:
		mapped, resident = resident/2, resident-resident/2
	}
	at := func(s *backend.MemoryStats) *backend.ComponentMemory {
		return &s.Components[slices.IndexFunc(s.Components, func(c backend.ComponentMemory) bool { return c.Name == name })]
	}
	if slices.ContainsFunc(m.MemoryStats().Components, func(c backend.ComponentMemory) bool { return c.Name == name && c.Loaded }) {
		return nil
	}
	if err := m.allocate("weights of the "+name, resident); err != nil {
		return err
	}
	m.holds.change(func(s *backend.MemoryStats) { c := at(s); c.Loaded, c.Weights, c.Mapped = true, resident, mapped })
	return nil
}

// use has a component loaded and a compute buffer for q, as a call on it needs.
func (m *model) use(q backend.ComputeQuery) error {
	component := contract.Component(q.Stage)
	err := m.loadWeights(component)
	shape := fmt.Sprint(component, q)
	if err == nil && m.holds.shape != shape {
		m.releaseCompute()
		bytes, sizeErr := m.computeBytes(q)
		if sizeErr != nil {
			return sizeErr
		}
		if err = m.allocate("compute buffer of "+shape, bytes); err == nil {
			m.holds.shape = shape
			m.holds.change(func(s *backend.MemoryStats) { s.Compute = bytes })
		}
	}
	if err != nil {
		m.releaseCompute()
	}
	return err
}

func (m *model) releaseCompute() {
	m.holds.shape = ""
	m.holds.change(func(s *backend.MemoryStats) { s.Compute = 0 })
}

// Load pretends to load components.
func (m *model) Load(ctx context.Context, components ...string) error {
	end, err := m.begin(ctx, Call{Op: OpLoad, Components: strings.Join(components, " ")})
	if err != nil {
		return err
	}
	defer end()
	names, err := contract.Named(m.info, components)
	for i := 0; i < len(names) && err == nil; i++ {
		err = m.loadWeights(names[i])
	}
	return m.check(err)
}

// Unload pretends to free components.
func (m *model) Unload(components ...string) error {
	end, err := m.begin(context.Background(), Call{Op: OpUnload, Components: strings.Join(components, " ")})
	if err != nil {
		return err
	}
	defer end()
	names, err := contract.Named(m.info, components)
	if err == nil {
		m.free(names)
	}
	return m.check(err)
}

// free lets components go, and the compute buffer.
func (m *model) free(components []string) {
	m.releaseCompute()
	m.holds.change(func(s *backend.MemoryStats) {
		for i := range s.Components {
			if c := &s.Components[i]; slices.Contains(components, c.Name) {
				c.Loaded, c.Weights, c.Mapped = false, 0, 0
			}
		}
	})
}
