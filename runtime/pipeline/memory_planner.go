package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/vae"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// planner decides how the jobs of a pipeline are made to fit into memory. Its model is what the pipeline holds or would hold, without
// the ControlNets and adapters of jobs.
type planner struct {
	config  Config
	backend backend.Backend
	log     *slog.Logger
	library *lora.Library
	probes  *probes
	model   memory.Model
	kinds   map[string]backend.DeviceKind
	main    string // the UNet's device
	flash   bool
	stats   func() []backend.MemoryStats // of the models that are open; nil before
	open    memory.Strategy              // under which they were opened
	fits    map[string]memory.Fit        // where there is no backend
	compute memory.Compute               // the probes', or a formula where there is no backend
}

// newPlanner opens the model without its weights and reads the headers of all that goes with it.
func newPlanner(ctx context.Context, b backend.Backend, cfg Config, plan openPlan, log *slog.Logger) (*planner, error) {
	p := &planner{config: cfg, backend: b, log: log, library: lora.NewLibrary(cfg.LoRADirectories...), probes: newProbes(b, cfg.VAEPolicy),
		kinds: map[string]backend.DeviceKind{}}
	devices, err := b.Devices(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range devices {
		p.kinds[d.ID] = d.Kind
	}
	if system, err := memory.SystemMemory(); err == nil {
		p.model.Process = system.ProcessBytes
	}
	p.model.Shapes = map[string]memory.Shape{}
	p.compute = p.probes.cached
	p.probes.begin(ctx)
	return p, p.addAll(ctx, plan)
}

// addAll adds the model, its refiner and its TAESD.
func (p *planner) addAll(ctx context.Context, plan openPlan) error {
	info, err := p.add(memory.OwnerModel, plan.model)
	if err != nil {
		return err
	}
	if err := checkKind(info); err != nil {
		return err
	}
	p.flash, p.model.Threads = info.FlashAttention, info.Threads
	if unet, ok := componentInfo(info, memory.UNet); ok {
		p.main = unet.Device
	}
	if p.config.Refiner != "" {
		refiner, err := planOpen(ctx, "refiner", p.config.refinerConfig(), false, p.log)
		if err != nil {
			return err
		}
		refiner.model.Components = refinerComponents
		if _, err := p.add(memory.OwnerRefiner, refiner.model); err != nil {
			return fmt.Errorf("refiner: %w", err)
		}
		for i := range p.model.Parts {
			part := &p.model.Parts[i]
			part.OnDemand = part.Owner == memory.OwnerRefiner && p.config.RefinerOnDemand
		}
	}
	if p.config.TAESD == "" {
		return nil
	}
	if err := checkRole("taesd", p.config.TAESD); err != nil {
		return err
	}
	if _, err := p.add(memory.OwnerTAESD, p.config.taesdModel()); err != nil {
		return fmt.Errorf("taesd: %w", err)
	}
	return nil
}

// add makes an owner's parts known.
func (p *planner) add(owner string, cfg backend.ModelConfig) (backend.ModelInfo, error) {
	p.probes.configs[owner] = cfg
	m, err := p.probes.model(owner, false)
	if err != nil {
		return backend.ModelInfo{}, err
	}
	info := m.Info()
	parts, _, err := partsOf(owner, cfg, info, p.kinds)
	if err != nil {
		return info, err
	}
	p.model.Parts = append(p.model.Parts, parts...)
	unet, _ := componentInfo(info, memory.UNet)
	if control, ok := componentInfo(info, memory.ControlNet); ok && control.Present {
		unet = control
	}
	p.model.Shapes[owner] = shapeOf(info, unet.Type)
	return info, nil
}

func componentInfo(info backend.ModelInfo, name string) (backend.ComponentInfo, bool) {
	for _, c := range info.Components {
		if c.Name == name {
			return c, true
		}
	}
	return backend.ComponentInfo{}, false
}

// jobOf puts a request into the terms of package memory. The request may be as it was asked for or prepared.
func (p *planner) jobOf(r request.Request, s settings) (memory.Job, error) {
	width, height := s.width, s.height
	if img := r.InitImage.Image; img != nil {
		width, height = img.Bounds().Dx(), img.Bounds().Dy()
	}
	width, height = cmp.Or(r.Width, width), cmp.Or(r.Height, height)
	enlarge := false
	if r.Hires.On() { // the larger pass is the one that has to fit
		width, height = r.Hires.Size(width, height, s.downscale)
		enlarge = r.Hires.Upscaler != request.UpscaleLatent && r.Hires.Upscaler != request.UpscaleLatentNearest
	}
	guidance := r.GuidanceScale
	if guidance == 0 {
		guidance = s.guidance
	}
	j := memory.Job{Width: width, Height: height, Images: max(r.NumImages, 1), Batch: r.MaxBatch, Prompts: 1, Guidance: guidance > 1,
		GuidanceBatch: r.GuidanceBatch, Enlarge: enlarge, Encode: !r.InitImage.IsZero(), Refine: p.config.Refiner != "" && r.RefinerMode != request.RefinerNone,
		Previews: p.config.TAESD != "", FastDecode: p.config.TAESD != "" && p.config.FastDecode, Together: p.config.VAEPolicy.Slicing == vae.Off}
	if j.Batch == 0 {
		j.Batch = autoBatch(width * height)
	}
	if most := p.config.Memory.MaxBatch; most > 0 {
		j.Batch = min(j.Batch, most)
	}
	var err error
	if j.Chunks, err = p.chunks(r); err != nil {
		return j, err
	}
	if j.Adapters, err = p.adapterBytes(r); err != nil {
		return j, err
	}
	for i, n := range r.ControlNets {
		path, err := soundNet(n.Model, p.config.ControlNetDirectories)
		if err != nil {
			return j, request.Errors{{Path: fmt.Sprintf("controlnet[%d].model", i), Message: err.Error()}}
		}
		j.Controls = append(j.Controls, path)
	}
	return j, nil
}

// chunks is how many chunks of 77 tokens the longest of a request's texts fills, about: weights and breaks are not looked at.
func (p *planner) chunks(r request.Request) (int, error) {
	count := func(text string) int { return len(strings.Fields(text)) * 3 / 2 } // about, where nobody can tell
	if p.backend != nil {
		m, err := p.probes.model(memory.OwnerModel, p.open.AttentionSlicing)
		if err != nil {
			return 0, err
		}
		count = func(text string) int {
			ids, _ := m.Tokenize(text) // the job will say better what is wrong with it
			return len(ids)
		}
	}
	n := 1
	for _, text := range []string{r.Prompt, r.Prompt2, r.NegativePrompt, r.NegativePrompt2} {
		n = max(n, (count(text)+74)/75)
	}
	return n, nil
}

// adapterBytes is what a request's adapters take: as they are kept, and once more where they are applied.
func (p *planner) adapterBytes(r request.Request) (int64, error) {
	var errs request.Errors
	stack := stackOf(r, p.library, func(key string) string { return key }, &errs)
	var n int64
	for _, path := range stack.paths {
		f, err := modelfile.Open(path)
		if err != nil {
			return 0, err
		}
		for _, t := range f.Tensors {
			n += 2 * adapterElementBytes * t.Elements()
		}
		_ = f.Close() // opened for reading
	}
	return n, nil
}

// adapterElementBytes is the size of an adapter's element in memory: adapters are kept in the UNet's dense type, F16 or BF16 but
// for exact precision, whose adapters are then twice as large as planned.
const adapterElementBytes = 2

// addControls makes the ControlNets of jobs known for one decision.
func (p *planner) addControls(jobs []memory.Job) (memory.Model, error) {
	m := p.model
	known := map[string]bool{}
	for _, j := range jobs {
		for _, path := range j.Controls {
			if known[path] {
				continue
			}
			known[path] = true
			cfg, err := controlConfig(p.config, path)
			if err != nil {
				return m, err
			}
			before := len(p.model.Parts)
			if p.backend == nil {
				err = p.addFitted(path, cfg)
			} else {
				_, err = p.add(path, cfg)
			}
			if err != nil {
				return m, fmt.Errorf("controlnet %s: %w", filepath.Base(path), err)
			}
			m.Parts = append(m.Parts[:len(m.Parts):len(m.Parts)], p.model.Parts[before:]...)
			p.model.Parts = p.model.Parts[:before]
		}
	}
	return m, nil
}

// budgets says what may be held on each device now, what is held already included.
func (p *planner) budgets(ctx context.Context) ([]memory.Budget, error) {
	devices := []backend.Device{{ID: memory.HostID, Kind: backend.DeviceCPU}}
	if p.backend != nil {
		var err error
		if devices, err = p.backend.Devices(ctx); err != nil {
			return nil, err
		}
	}
	own := map[string]int64{}
	if p.stats != nil {
		for _, s := range p.stats() {
			own[p.main] += s.Compute + s.Adapters
			for _, c := range s.Components {
				own[p.deviceOf(c.Name)] += c.Weights
			}
		}
	}
	host := memory.Budget{Device: memory.HostID}
	if system, err := memory.SystemMemory(); err == nil {
		host.Bytes, host.Why = system.AvailableBytes+system.ProcessBytes, system.Limit
	}
	var out []memory.Budget
	for _, d := range devices {
		b := memory.Budget{Device: d.ID, Bytes: d.FreeBytes + own[d.ID], Why: "free on the device"}
		if d.ID == memory.HostID && host.Bytes > 0 {
			b = host
		}
		if d.TotalBytes > 0 || b.Bytes > 0 {
			out = append(out, limited(b, p.config.Memory, d.ID == p.main))
		}
	}
	return out, nil
}

// deviceOf is where components of a name are.
func (p *planner) deviceOf(component string) string {
	for _, part := range p.model.Parts {
		if part.Component == component {
			return part.Device
		}
	}
	return p.main
}

// limited applies the user's limit to the device the UNet is on, and the reserve to every device.
func limited(b memory.Budget, m request.Memory, main bool) memory.Budget {
	free := b.Bytes
	if reserve, err := request.ParseAmount(m.Reserve); err == nil && reserve.Of(free) > 0 {
		b.Bytes, b.Why = max(free-reserve.Of(free), 0), memory.WhyReserve
	}
	if limit, err := request.ParseAmount(m.MemoryLimit); err == nil && main && limit != (request.Amount{}) && limit.Of(free) < b.Bytes {
		b.Bytes, b.Why = limit.Of(free), memory.WhyLimit
	}
	return b
}

// force is what the user has decided.
func (p *planner) force() memory.Force {
	m := p.config.Memory
	f := memory.Force{Strategy: m.Strategy}
	switch p.config.VAEPolicy.Tiling {
	case vae.On:
		f.Tiling = memory.On
	case vae.Off:
		f.Tiling = memory.Off
	}
	switch {
	case m.AttentionSlicing != nil && *m.AttentionSlicing:
		f.AttentionSlicing = memory.On
	case m.AttentionSlicing != nil:
		f.AttentionSlicing = memory.Off
	case p.flash:
		f.AttentionSlicing, f.SlicingUseless = memory.Off, true
	}
	return f
}

// choose decides for jobs. only lists the strategies that are possible, all where it is empty.
func (p *planner) choose(ctx context.Context, jobs []memory.Job, force memory.Force) (memory.Plan, error) {
	model, err := p.addControls(jobs)
	if err != nil {
		return memory.Plan{}, err
	}
	budgets, err := p.budgets(ctx)
	if err != nil {
		return memory.Plan{}, err
	}
	plan, err := memory.Choose(memory.Problem{Model: model, Jobs: jobs, Budgets: budgets, Force: force, Compute: p.compute})
	var over *memory.OverBudgetError
	if errors.As(err, &over) {
		p.log.Debug("the run does not fit", "device", over.Device, "smallest", over.Smallest, "budget", over.Budget.Bytes)
	}
	return plan, err
}
