package pipeline

import (
	"fmt"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// holding is how the weights of the models of a pipeline are held: what a strategy of package memory means to a backend.
type holding struct {
	strategy    memory.Strategy
	streamBytes int64
}

// apply sets the residencies of a model that is to be opened.
func (h holding) apply(cfg *backend.ModelConfig) {
	cfg.AttentionSlicing = h.strategy.AttentionSlicing
	switch h.strategy.Name {
	case memory.Release:
		cfg.TextResidency, cfg.VAEResidency = backend.ResidencyOnDemand, backend.ResidencyOnDemand
		if cfg.Files.ControlNet != "" {
			cfg.UNetResidency = backend.ResidencyResident
		}
	case memory.Stage:
		cfg.TextResidency, cfg.UNetResidency, cfg.VAEResidency = backend.ResidencyOnDemand, backend.ResidencyOnDemand, backend.ResidencyOnDemand
	case memory.Stream:
		cfg.TextResidency, cfg.UNetResidency, cfg.VAEResidency = backend.ResidencyOnDemand, backend.ResidencyStream, backend.ResidencyOnDemand
		if h.strategy.StreamText {
			cfg.TextResidency = backend.ResidencyStream
		}
		cfg.StreamBytes = h.streamBytes
	case memory.Mmap:
		cfg.TextResidency, cfg.UNetResidency, cfg.VAEResidency = backend.ResidencyMmap, backend.ResidencyMmap, backend.ResidencyMmap
	}
}

// reaches lists the strategies that a model opened like this can still follow: weights that are in memory can be freed when they have
// been used, but not streamed or mapped.
func (h holding) reaches() []string {
	switch h.strategy.Name {
	case memory.Stream, memory.Mmap:
		return []string{h.strategy.Name}
	case memory.Stage:
		return []string{memory.Resident, memory.Release, memory.Stage} // what was loaded on demand can stay
	}
	return []string{memory.Resident, memory.Release, memory.Stage}
}

// hold frees, at the beginning of a stage, the weights that the job's strategy does not hold during it. Compute buffers go with
// them. Results do not depend on it; another job that uses the same weights loads them again.
func (j *job) hold(stage string) {
	keep, all := j.memory.keeps(stage)
	if all {
		return
	}
	j.unload(j.p.model, keep.base)
	for _, m := range j.together() {
		if m.refiner != nil {
			j.unload(m.refiner.model, keep.refiner)
		}
		for _, c := range m.controls {
			j.unload(c.net.model, keep.control)
		}
	}
}

// unload frees the components of a model that are in memory and not to be kept.
func (j *job) unload(m backend.Model, keep []string) {
	var out []string
	for _, c := range m.MemoryStats().Components {
		if c.Loaded && !contains(keep, c.Name) {
			out = append(out, c.Name)
		}
	}
	if len(out) == 0 {
		return
	}
	if err := m.Unload(out...); err != nil {
		j.warn(fmt.Sprintf("freeing %v: %v", out, err))
	}
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

// kept names the components that stay in memory during a stage.
type kept struct{ base, refiner, control []string }

// staged reports whether the job has one component at a time in memory.
func (m jobMemory) staged() bool {
	name := m.strategy.Name
	return name == memory.Stage || name == memory.Stream || name == memory.Mmap
}

// keeps says what stays in memory during a stage; all: everything.
func (m jobMemory) keeps(stage string) (keep kept, all bool) {
	if m.strategy.Name == memory.Resident || m.strategy.Name == "" {
		return keep, true
	}
	texts := []string{memory.TextEncoder, memory.TextEncoder2}
	switch stage {
	case memory.StageText:
		keep.base, keep.refiner = texts, texts
	case memory.StageEncode:
		keep.base = []string{memory.VAEEncoder}
	case memory.StageUpscale:
		keep.base = []string{memory.VAEEncoder, memory.VAEDecoder}
	case memory.StageControl:
		keep.control = []string{memory.ControlNet}
	case memory.StageDenoise:
		keep.base, keep.control = []string{memory.UNet}, []string{memory.ControlNet}
	case memory.StageRefine:
		keep.refiner = append(texts, memory.UNet)
	case memory.StageDecode:
		keep.base = []string{memory.VAEDecoder}
	}
	if !m.staged() {
		keep.base, keep.refiner = append(keep.base, memory.UNet), append(keep.refiner, memory.UNet)
		keep.control = []string{memory.ControlNet}
	}
	return keep, false
}
