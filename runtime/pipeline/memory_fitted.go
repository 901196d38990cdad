package pipeline

import (
	"cmp"
	"log/slog"
	"slices"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/vae"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// newFittedPlanner plans without a backend: for the CPU, from headers and formulas.
func newFittedPlanner(cfg Config, plan openPlan, log *slog.Logger) (*planner, error) {
	p := &planner{config: cfg, log: log, library: lora.NewLibrary(cfg.LoRADirectories...), main: memory.HostID, flash: cfg.FlashAttention != "off",
		kinds: map[string]backend.DeviceKind{memory.HostID: backend.DeviceCPU}, fits: map[string]memory.Fit{}}
	p.model.Shapes, p.model.Threads = map[string]memory.Shape{}, max(cfg.Threads, 1)
	if system, err := memory.SystemMemory(); err == nil {
		p.model.Process = system.ProcessBytes
	}
	p.compute = memory.Fitted(p.fits, func(h, w int) (int, int) { return cfg.VAEPolicy.Tile(h, w, downscaleOf(p.fits[memory.OwnerModel])) })
	if err := p.addFitted(memory.OwnerModel, plan.model); err != nil {
		return nil, err
	}
	if cfg.Refiner != "" {
		refiner := cfg.refinerConfig()
		model := backend.ModelConfig{Files: backend.Files{Model: cfg.Refiner}, Precision: refiner.Precision,
			UNetType: cmp.Or(refiner.UNetType, refiner.Type), TextType: cmp.Or(refiner.TextType, refiner.Type), Components: refinerComponents}
		if err := p.addFitted(memory.OwnerRefiner, model); err != nil {
			return nil, err
		}
	}
	if cfg.TAESD != "" {
		return p, p.addFitted(memory.OwnerTAESD, cfg.taesdModel())
	}
	return p, nil
}

// addFitted makes an owner's parts known from its headers alone.
func (p *planner) addFitted(owner string, cfg backend.ModelConfig) error {
	inventory, err := memory.Read(cfg.Files)
	if err != nil {
		return err
	}
	precision := memory.ResolvePrecision(cfg.Precision, backend.DeviceCPU, false)
	s := memory.Shape{Downscale: vae.DefaultDownscale, Latents: 4}
	for _, c := range inventory.Components {
		if len(cfg.Components) > 0 && !slices.Contains(cfg.Components, c.Name) {
			continue
		}
		bytes := c.Bytes(memory.PolicyFor(precision, typeOf(cfg, c.Name), backend.DeviceCPU, false))
		p.model.Parts = append(p.model.Parts, memory.Part{Owner: owner, Component: c.Name, Device: memory.HostID, Type: bytes.Type, Bytes: bytes.Allocated,
			Largest: bytes.Largest, Mapped: bytes.Mapped, Scratch: bytes.Scratch, FileBytes: bytes.FileBytes, Streamed: bytes.Streamed, Table: bytes.Table, Quantizes: bytes.Quantizes,
			OnDemand: owner == memory.OwnerRefiner && p.config.RefinerOnDemand})
		if c.Name == memory.UNet || c.Name == memory.ControlNet {
			s.ActivationOf = bytes.Type
		}
	}
	unet := inventory.Dims.UNet
	if control := inventory.Dims.ControlNet; control != nil {
		unet = &control.UNet
	}
	if unet != nil {
		s.Channels, s.ContextDim = unet.Channels, unet.ContextDim
		for _, depths := range unet.DownDepth {
			s.Depth = append(s.Depth, slices.Max(append([]int{0}, depths...)))
		}
	}
	if v := inventory.Dims.VAE; v != nil {
		s.Latents = v.LatentChannels
	}
	p.model.Shapes[owner] = s
	p.fits[owner] = memory.Fit{Dims: inventory.Dims, HeadDim: cfg.Hyper.UNetAttentionHeadDim, FlashAttention: p.flash}
	s.Downscale = downscaleOf(p.fits[owner])
	p.model.Shapes[owner] = s
	return nil
}

// downscaleOf is how many pixels a latent cell has on a side.
func downscaleOf(f memory.Fit) int {
	v := f.Dims.VAE
	if v == nil {
		return vae.DefaultDownscale
	}
	return 1 << (max(len(v.EncoderChannels), len(v.DecoderChannels), 1) - 1)
}
