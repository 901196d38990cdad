package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/upscale"
	"github.com/daguerre-go/daguerre/internal/vae"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// probeKey names a model that is open in order to be measured.
type probeKey struct {
	owner  string
	sliced bool // with attention in slices
}

// probes measures compute buffers on models of which no weight is loaded. They are opened when they are first asked and
// closed by close; what they said is remembered. It is safe for concurrent use.
type probes struct {
	backend backend.Backend
	policy  vae.Policy
	configs map[string]backend.ModelConfig // by owner; how each is opened
	cached  memory.Compute

	mu   sync.Mutex
	ctx  context.Context // of the planning that is going on
	open map[probeKey]backend.Model
	live map[probeKey]backend.Model // the pipeline's own, which stay open
}

func newProbes(b backend.Backend, policy vae.Policy) *probes {
	p := &probes{backend: b, policy: policy, configs: map[string]backend.ModelConfig{}, open: map[probeKey]backend.Model{},
		live: map[probeKey]backend.Model{}}
	p.cached = memory.Cached(p.measure)
	return p
}

// begin sets the context in which models are opened until close.
func (p *probes) begin(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ctx = ctx
}

// close closes what is open for measuring only.
func (p *probes) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for key, m := range p.open {
		errs = append(errs, m.Close())
		delete(p.open, key)
	}
	return errors.Join(errs...)
}

// unloaded is a configuration under which no weight is loaded.
func unloaded(cfg backend.ModelConfig, sliced bool) backend.ModelConfig {
	cfg.TextResidency, cfg.UNetResidency, cfg.VAEResidency = backend.ResidencyOnDemand, backend.ResidencyOnDemand, backend.ResidencyOnDemand
	cfg.AttentionSlicing = sliced
	return cfg
}

// model returns an owner's model, opened where it was not.
func (p *probes) model(owner string, sliced bool) (backend.Model, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := probeKey{owner, sliced}
	if m, ok := p.live[key]; ok {
		return m, nil
	}
	if m, ok := p.open[key]; ok {
		return m, nil
	}
	cfg, ok := p.configs[owner]
	if !ok {
		return nil, fmt.Errorf("%w: no model is known as %q", memory.ErrNotMeasured, owner)
	}
	m, err := p.backend.Open(p.ctx, unloaded(cfg, sliced))
	if err != nil {
		return nil, err
	}
	p.open[key] = m
	return m, nil
}

// stale reports whether a file of an owner has changed since it was measured. If so, its measurements are forgotten.
func (p *probes) stale(owner string) bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	table := p.configs[owner].Table
	if table == nil || !slices.ContainsFunc(table.Files, func(f backend.TableFile) bool { return f.Identity.Check(f.Path) != nil }) {
		return false
	}
	for _, sliced := range []bool{false, true} {
		key := probeKey{owner, sliced}
		if m := p.open[key]; m != nil {
			_ = m.Close() // it was only measured
		}
		delete(p.open, key)
	}
	delete(p.configs, owner)
	return true
}

// take hands an open model over to the caller, who closes it; nil where it is not open.
func (p *probes) take(owner string, sliced bool) backend.Model {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := probeKey{owner, sliced}
	m := p.open[key]
	delete(p.open, key)
	return m
}

// adopt makes a model of the pipeline's serve its owner's queries.
func (p *probes) adopt(owner string, sliced bool, m backend.Model) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live[probeKey{owner, sliced}] = m
}

// measure answers a query with the backend's exact figure.
func (p *probes) measure(q memory.Query) (int64, error) {
	m, err := p.model(q.Owner, q.AttentionSlicing)
	if err != nil {
		return 0, err
	}
	unit := max(m.Info().VAE.Downscale, 1)
	switch q.Stage {
	case backend.StageVAEDecode, backend.StageVAEEncode:
		if q.Owner != memory.OwnerModel {
			break
		}
		policy := p.policy
		if q.Tiled {
			policy.Tiling = vae.On
		}
		if q.Together {
			policy.Slicing = vae.Off
		}
		var plan vae.Plan
		if q.Stage == backend.StageVAEDecode {
			plan, err = policy.PlanDecode(m, q.Batch, q.Height, q.Width)
		} else {
			plan, err = policy.PlanEncode(m, q.Batch, q.Height*unit, q.Width*unit)
		}
		return plan.Bytes, err
	case backend.StageUpscale:
		q.Height, q.Width = upscale.Tile(q.Height, m.Info()), upscale.Tile(q.Width, m.Info())
	case backend.StageControlHint:
		n := max(m.Info().Control.HintDownscale, 1)
		pixels := func(cells int) int { return (cells*vae.DefaultDownscale + n - 1) / n * n }
		q.Height, q.Width = pixels(q.Height), pixels(q.Width)
	}
	ask := q.Ask()
	if q.XS != "" {
		if ask.XS, err = p.model(q.XS, q.AttentionSlicing); err != nil {
			return 0, err
		}
	}
	return m.ComputeBytes(ask)
}

// partsOf lists an owner's weights by component, from the headers of its files and what the backend says of the model.
func partsOf(owner string, components []memory.Component, info backend.ModelInfo,
	policyOf func(string) memory.TypePolicy) (out []memory.Part) {
	inventory := memory.Inventory{Components: components}
	for _, c := range info.Components {
		part, ok := inventory.Component(c.Name)
		if !ok || !c.Opened {
			continue
		}
		bytes := part.Bytes(policyOf(c.Name))
		p := partOf(owner, c.Name, c.Device, bytes)
		p.Type = c.Type
		if c.ParameterBytes > 0 && c.ParameterBytes != bytes.Parameters { // a layout of this CPU's own
			p.Bytes += c.ParameterBytes - bytes.Parameters
		}
		out = append(out, p)
	}
	return out
}

// partOf is a component's weights on a device.
func partOf(owner, component, device string, b memory.WeightBytes) memory.Part {
	return memory.Part{Owner: owner, Component: component, Device: device, Type: b.Type, Weights: b.Count, Bytes: b.Allocated,
		Largest: b.Largest, Mapped: b.Mapped, Scratch: b.Scratch, FileBytes: b.FileBytes, Streamed: b.Streamed, Table: b.Table,
		Quantizes: b.Quantizes}
}

// typeOf is the type that a component is asked to be held in.
func typeOf(cfg backend.ModelConfig, component string) backend.Type {
	switch component {
	case memory.TextEncoder, memory.TextEncoder2, memory.ImageEncoder:
		return cfg.TextType
	case memory.VAEEncoder, memory.VAEDecoder:
		return cfg.VAEType
	}
	return cfg.UNetType
}

// shapeOf is what work buffers depend on.
func shapeOf(info backend.ModelInfo, unetType backend.Type) memory.Shape {
	s := memory.Shape{Channels: info.UNet.Channels, Resnets: info.UNet.Resnets, Depth: slices.Clone(info.UNet.TransformerDepth),
		Downscale: info.VAE.Downscale, ContextDim: info.UNet.ContextDim, Latents: info.VAE.LatentChannels, ActivationOf: unetType,
		Scale: info.Upscaler.Scale, T2IAdapter: info.Control.IsT2IAdapter(),
		XS: info.Control.IsXS()}
	return s
}
