package models

import (
	"fmt"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Holding is how the weights of a pipeline's models are held: what a strategy of package memory means to a backend.
type Holding struct {
	Strategy    memory.Strategy
	StreamBytes int64 // of the window of each streamed component
}

// Apply sets the residencies of a model that is to be opened.
func (h Holding) Apply(cfg backend.ModelConfig) backend.ModelConfig {
	demand, unet := backend.ResidencyOnDemand, backend.ResidencyOnDemand
	text := demand
	cfg.AttentionSlicing = h.Strategy.AttentionSlicing
	switch h.Strategy.Name {
	case memory.Release:
		unet = cfg.UNetResidency
		if cfg.Files.ControlNet != "" {
			unet = backend.ResidencyResident
		}
	case memory.Stage:
	case memory.Stream:
		if cfg.Hyper.XS.Heads[0] == 0 { // a ControlNet-XS is inside the UNet's graph, which has a window of its own
			unet = backend.ResidencyStream
		}
		cfg.StreamBytes = h.StreamBytes
		if h.Strategy.StreamText {
			text = backend.ResidencyStream
		}
	case memory.Mmap:
		demand, text, unet = backend.ResidencyMmap, backend.ResidencyMmap, backend.ResidencyMmap
	default:
		return cfg
	}
	cfg.TextResidency, cfg.UNetResidency, cfg.VAEResidency = text, unet, demand
	return cfg
}

// Reaches lists the strategies that models held like this can still follow. Weights in memory can be freed after their use, but not
// streamed or mapped.
func (h Holding) Reaches() []string {
	if n := h.Strategy.Name; n == memory.Stream || n == memory.Mmap {
		return []string{n}
	}
	return []string{memory.Resident, memory.Release, memory.Stage}
}

// Free frees the weights of a model that a strategy does not keep during a stage. Its compute buffers go with them. Results do not
// depend on it: a job that uses the same weights loads them again. owner is the model's in package memory.
func Free(m backend.Model, owner string, s memory.Strategy, stage string) error {
	var out []string
	for _, c := range m.MemoryStats().Components {
		if c.Loaded && !s.Keeps(owner, c.Name, stage) {
			out = append(out, c.Name)
		}
	}
	if len(out) == 0 {
		return nil
	}
	if err := m.Unload(out...); err != nil {
		return fmt.Errorf("freeing %v: %w", out, err)
	}
	return nil
}
