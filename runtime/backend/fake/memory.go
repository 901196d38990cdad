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
	"controlnet": 10000, "upscaler": 100,
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

// checkConfig refuses names and numbers that no backend takes.
func (m *model) checkConfig() error {
	cfg := m.cfg
	for field, r := range map[string]backend.Residency{
		"text residency": cfg.TextResidency, "unet residency": cfg.UNetResidency, "vae residency": cfg.VAEResidency,
	} {
		if r != "" && !slices.Contains(backend.Residencies, r) {
			return contract.Invalid(field, "%q is unknown; known are %v", r, backend.Residencies)
		}
	}
	if p := cfg.Precision; p != "" && !slices.Contains(backend.Precisions, p) {
		return contract.Invalid("precision", "%q is unknown; known are %v", p, backend.Precisions)
	}
	for field, t := range map[string]backend.Type{"unet type": cfg.UNetType, "text type": cfg.TextType, "vae type": cfg.VAEType} {
		if t != "" && !slices.Contains(backend.Types, t) {
			return contract.Invalid(field, "%q is unknown; known are %v", t, backend.Types)
		}
	}
	if cfg.StreamBytes < 0 {
		return contract.Invalid("stream_bytes", "%d is negative", cfg.StreamBytes)
	}
	return checkNames(cfg.Components)
}

// checkNames refuses names that no component has.
func checkNames(components []string) error {
	for _, name := range components {
		if _, ok := weightBytes[name]; !ok {
			return contract.Invalid("components", "%q is unknown", name)
		}
	}
	return nil
}

// placeWeights checks the configuration, and loads what is resident.
func (m *model) placeWeights() error {
	if err := m.check("", m.checkConfig()); err != nil {
		return err
	}
	for _, c := range m.info.Components {
		r := contract.ResidencyOf(m.cfg, c.Name)
		if !c.Opened {
			continue
		}
		if least := c.ParameterBytes / leastWindow; r == backend.ResidencyStream && m.cfg.StreamBytes != 0 && m.cfg.StreamBytes < least {
			return m.check("", contract.Invalid("stream_bytes", "%d is less than the largest layer of the %s, %d", m.cfg.StreamBytes, c.Name, least))
		}
		m.holds.change(func(s *backend.MemoryStats) {
			s.Components = append(s.Components, backend.ComponentMemory{Name: c.Name})
		})
	}
	for _, c := range m.info.Components {
		if c.Opened && contract.ResidencyOf(m.cfg, c.Name) == backend.ResidencyResident {
			if err := m.loadWeights(c.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// loadWeights makes a component's weights resident, each in its way.
func (m *model) loadWeights(name string) error {
	var resident, mapped int64
	for _, c := range m.info.Components {
		if c.Name != name {
			continue
		}
		if !c.Opened {
			return m.check(name, nil)
		}
		resident = c.ParameterBytes
		switch contract.ResidencyOf(m.cfg, name) {
		case backend.ResidencyStream:
			if m.cfg.StreamBytes > 0 {
				resident = min(resident, m.cfg.StreamBytes)
			}
		case backend.ResidencyMmap:
			mapped, resident = resident/2, resident-resident/2
		}
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
func (m *model) use(component string, q backend.ComputeQuery) error {
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
	names, err := m.named(components)
	for _, name := range names {
		if err == nil {
			err = m.loadWeights(name)
		}
	}
	return err
}

// Unload pretends to free components.
func (m *model) Unload(components ...string) error {
	end, err := m.begin(context.Background(), Call{Op: OpUnload, Components: strings.Join(components, " ")})
	if err != nil {
		return err
	}
	defer end()
	names, err := m.named(components)
	if err != nil {
		return err
	}
	m.releaseCompute()
	m.holds.change(func(s *backend.MemoryStats) {
		for i := range s.Components {
			if c := &s.Components[i]; slices.Contains(names, c.Name) {
				c.Loaded, c.Weights, c.Mapped = false, 0, 0
			}
		}
	})
	return nil
}

// named checks names of components; none means all that were opened.
func (m *model) named(components []string) ([]string, error) {
	if err := m.check("", checkNames(components)); err != nil {
		return nil, err
	}
	for _, name := range components {
		if err := m.check(name, nil); err != nil {
			return nil, err
		}
	}
	if len(components) > 0 {
		return components, nil
	}
	var opened []string
	for _, c := range m.info.Components {
		if c.Opened {
			opened = append(opened, c.Name)
		}
	}
	return opened, nil
}
