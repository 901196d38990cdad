package plan

import (
	"slices"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/vae"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// addFitted makes an owner's parts known from its headers alone.
func (p *Planner) addFitted(owner string, cfg backend.ModelConfig) (backend.ModelInfo, error) {
	inventory, err := memory.Read(cfg.Files)
	if err != nil {
		return backend.ModelInfo{}, err
	}
	precision := memory.ResolvePrecision(cfg.Precision, backend.DeviceCPU, false)
	policyOf := func(component string) memory.TypePolicy {
		return memory.PolicyFor(precision, typeOf(cfg, component), backend.DeviceCPU, false)
	}
	if owner == memory.OwnerModel {
		p.adapt(adapters.ModulesOf(inventory.Dims), inventory.Components, policyOf)
	}
	s := memory.Shape{Downscale: vae.DefaultDownscale, Latents: 4}
	for _, c := range inventory.Components {
		if len(cfg.Components) > 0 && !slices.Contains(cfg.Components, c.Name) {
			continue
		}
		bytes := c.Bytes(policyOf(c.Name))
		p.model.Parts = append(p.model.Parts, partOf(owner, c.Name, memory.HostID, bytes))
		if c.Name == memory.UNet || c.Name == memory.ControlNet {
			s.ActivationOf = bytes.Type
		}
	}
	unet := inventory.Dims.UNet
	if control := inventory.Dims.ControlNet; control != nil {
		unet = &control.UNet
		s.T2IAdapter, s.XS = control.T2IAdapter != nil, control.XS != nil
	}
	if unet != nil {
		s.Channels, s.Resnets, s.ContextDim = unet.Channels, unet.Resnets, unet.ContextDim
		for _, depths := range unet.DownDepth {
			s.Depth = append(s.Depth, slices.Max(append([]int{0}, depths...)))
		}
	}
	if u := inventory.Dims.Upscaler; u != nil {
		s.Scale = 1 << u.Upsamplings
	}
	if v := inventory.Dims.VAE; v != nil {
		s.Latents = v.LatentChannels
	}
	p.fits[owner] = memory.Fit{Dims: inventory.Dims, HeadDim: cfg.Hyper.UNetAttentionHeadDim, FlashAttention: p.flash}
	s.Downscale = downscaleOf(p.fits[owner])
	p.model.Shapes[owner] = s
	return infoOf(inventory.Dims, s), nil
}

// infoOf is what can be said of a model that no backend has opened.
func infoOf(d modelfile.Dims, s memory.Shape) backend.ModelInfo {
	info := backend.ModelInfo{VAE: backend.VAEInfo{Downscale: s.Downscale, LatentChannels: s.Latents}}
	if u := d.UNet; u != nil {
		info.UNet = backend.UNetInfo{InChannels: u.InChannels, OutChannels: u.OutChannels, ContextDim: u.ContextDim}
	}
	for _, t := range []struct {
		dims *modelfile.TextDims
		info *backend.TextInfo
	}{{d.TextEncoder, &info.TextEncoder}, {d.TextEncoder2, &info.TextEncoder2}} {
		if t.dims != nil {
			*t.info = backend.TextInfo{VocabSize: t.dims.VocabSize, Width: t.dims.Width, Layers: t.dims.Layers}
		}
	}
	return info
}

// downscaleOf is how many pixels a latent cell has on a side.
func downscaleOf(f memory.Fit) int {
	v := f.Dims.VAE
	if v == nil {
		return vae.DefaultDownscale
	}
	return 1 << (max(len(v.EncoderChannels), len(v.DecoderChannels), 1) - 1)
}
