package plan

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// New makes a Planner that measures on b, which opens the models without their weights. Where b is nil, it plans for the CPU by formulas,
// from headers alone. Close it, also after an error.
func New(ctx context.Context, b backend.Backend, o Options) (*Planner, error) {
	p := &Planner{Options: o, backend: b, kinds: map[string]backend.DeviceKind{memory.HostID: backend.DeviceCPU}, main: memory.HostID,
		fits: map[string]memory.Fit{}, policies: map[string]memory.TypePolicy{}, adapters: map[string][]adapters.Change{},
		loras: map[string]*memory.LoRAs{}, nets: map[string][]memory.Part{}}
	p.model.Shapes = map[string]memory.Shape{}
	if system, err := machine.SystemMemory(); err == nil {
		p.model.Process = system.ProcessBytes
	}
	if b == nil {
		p.flash, p.model.Threads = o.Base.Config.FlashAttention != "off", max(o.Base.Config.Threads, 1)
		p.compute = memory.Fitted(p.fits, func(h, w int) (int, int) { return o.Policy.Tile(h, w, downscaleOf(p.fits[memory.OwnerModel])) })
		return p, p.addAll()
	}
	p.probes = newProbes(b, o.Policy)
	p.compute = p.probes.cached
	p.probes.begin(ctx)
	devices, err := b.Devices(ctx)
	if err != nil {
		return p, err
	}
	for _, d := range devices {
		p.kinds[d.ID] = d.Kind
	}
	return p, p.addAll()
}

// addAll adds the model, its refiner and its TAESD.
func (p *Planner) addAll() error {
	var err error
	if p.Info, err = p.add(memory.OwnerModel, p.Base.Config); err != nil {
		return err
	}
	if p.backend != nil {
		if err := models.CheckBase(p.Info, p.Base.Config.Files.Model); err != nil {
			return err
		}
		p.flash, p.model.Threads = p.Info.FlashAttention, p.Info.Threads
		p.main = models.DeviceOf(p.Info)
	}
	if p.Sources.HasRefiner() {
		if _, err := p.add(memory.OwnerRefiner, p.Refiner.Config); err != nil {
			return fmt.Errorf("refiner: %w", err)
		}
		for i := range p.model.Parts {
			part := &p.model.Parts[i]
			part.OnDemand = part.Owner == memory.OwnerRefiner && p.Sources.RefinerOnDemand
		}
	}
	if p.Sources.HasTAESD() {
		if _, err := p.add(memory.OwnerTAESD, p.Sources.TAESD); err != nil {
			return fmt.Errorf("taesd: %w", err)
		}
	}
	if p.Sources.HasUpscaler() {
		if _, err := p.add(memory.OwnerUpscaler, p.Sources.Upscaler); err != nil {
			return fmt.Errorf("upscaler: %w", err)
		}
	}
	return nil
}

// add makes an owner's parts known.
func (p *Planner) add(owner string, cfg backend.ModelConfig) (backend.ModelInfo, error) {
	if p.backend == nil {
		return p.addFitted(owner, cfg)
	}
	p.probes.configs[owner] = cfg
	m, err := p.probes.model(owner, false)
	if err != nil {
		return backend.ModelInfo{}, err
	}
	info := m.Info()
	components, err := memory.ComponentsOf(cfg)
	if err != nil {
		return info, err
	}
	policyOf := func(component string) memory.TypePolicy {
		c, _ := models.Component(info, component)
		return memory.PolicyFor(info.Precision, typeOf(cfg, component), p.kinds[c.Device], false)
	}
	if changed, ok := m.(backend.LoRAModel); ok && owner == memory.OwnerModel {
		p.adapt(changed.Modules(), components, policyOf)
	}
	p.model.Parts = append(p.model.Parts, partsOf(owner, components, info, policyOf)...)
	unet, _ := models.Component(info, memory.UNet)
	if control, ok := models.Component(info, memory.ControlNet); ok && control.Present {
		unet = control
	}
	p.model.Shapes[owner] = shapeOf(info, unet.Type)
	return info, nil
}

// withNets is the model with the ControlNets, image encoders and IP-Adapters of jobs.
func (p *Planner) withNets(jobs []memory.Job) (memory.Model, error) {
	m := p.model
	m.Parts = slices.Clone(m.Parts)
	known := map[string]bool{}
	for _, j := range jobs {
		for _, n := range j.Nets() {
			if known[n.Path] {
				continue
			}
			known[n.Path] = true
			parts, err := p.net(n.Component, n.Path)
			if err != nil {
				return m, fmt.Errorf("%s %s: %w", n.Component, filepath.Base(n.Path), err)
			}
			m.Parts = append(m.Parts, parts...)
		}
	}
	return m, nil
}

// net lists the parts of a net.
func (p *Planner) net(role, path string) ([]memory.Part, error) {
	if parts, ok := p.nets[path]; ok {
		if !p.probes.stale(path) {
			return parts, nil
		}
		delete(p.nets, path)
	}
	cfg, err := models.NetConfig(p.Sources.NetOf(role), role, path)
	if err != nil {
		return nil, err
	}
	before := len(p.model.Parts)
	_, err = p.add(path, cfg)
	p.nets[path] = slices.Clone(p.model.Parts[before:])
	p.model.Parts = p.model.Parts[:before]
	if err != nil {
		delete(p.nets, path)
	}
	return p.nets[path], err
}

// Probe is the base without its weights, to tokenize with; nil without a backend.
func (p *Planner) Probe() (backend.Model, error) {
	if p.backend == nil {
		return nil, nil
	}
	return p.probes.model(memory.OwnerModel, p.holding.Strategy.AttentionSlicing)
}

// Parts lists the weights of everything that jobs use.
func (p *Planner) Parts(jobs []memory.Job) ([]memory.Part, error) {
	m, err := p.withNets(jobs)
	return m.Parts, err
}
