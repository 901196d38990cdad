package models

import (
	"fmt"
	"slices"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// CheckBase refuses a model that cannot make a picture from a text by itself. The error names path, the model's file.
func CheckBase(info backend.ModelInfo, path string) error {
	err := checkBase(info)
	if err != nil && path != "" {
		return fmt.Errorf("%s: %w", path, err)
	}
	return err
}

func checkBase(info backend.ModelInfo) error {
	switch {
	case info.Kind == backend.KindSDXLBase || info.Kind == backend.KindSDXLInpaint:
	case info.Kind == backend.KindSDXLRefiner:
		return fmt.Errorf("%w: this is an SDXL refiner, which finishes another model's latents; give an SDXL base checkpoint as the model",
			ErrUnsupported)
	default:
		return fmt.Errorf("%w: a model of kind %q makes no pictures; give an SDXL base or inpainting checkpoint as the model", ErrUnsupported,
			info.Kind)
	}
	for _, c := range info.Components {
		if !c.Opened && c.Name != "vae_encoder" {
			return fmt.Errorf("%w: the files hold no %s; give one as %s", ErrUnsupported, c.Name, componentKey(c.Name))
		}
	}
	u := info.UNet
	if u.SizeIDs != 6 || u.InChannels != 4 && u.InChannels != 9 || u.OutChannels != 4 {
		return fmt.Errorf("%w: its UNet has %d input channels, %d output channels and %d size ids; expected 4 or 9, 4 and 6",
			ErrUnsupported, u.InChannels, u.OutChannels, u.SizeIDs)
	}
	if t := info.TextEncoder.Width + info.TextEncoder2.Width; t != u.ContextDim {
		return fmt.Errorf("%w: its text encoders are %d + %d wide, its UNet takes %d; they do not belong together",
			ErrUnsupported, info.TextEncoder.Width, info.TextEncoder2.Width, u.ContextDim)
	}
	if info.TextEncoder2.ProjectionDim != u.PooledDim {
		return fmt.Errorf("%w: its second text encoder projects to %d, its UNet takes %d; they do not belong together",
			ErrUnsupported, info.TextEncoder2.ProjectionDim, u.PooledDim)
	}
	return nil
}

// componentKey is the key of a run file that supplies a component.
func componentKey(name string) string {
	if name == "vae_decoder" {
		return "vae"
	}
	return name
}

// checkRefiner refuses models that cannot continue the base's latents. An SDXL base checkpoint can: it is then told what
// a base is told.
func checkRefiner(info, base backend.ModelInfo) error {
	if info.Kind != backend.KindSDXLRefiner && info.Kind != backend.KindSDXLBase {
		return fmt.Errorf("%w: a model of kind %q cannot refine; give an SDXL refiner, or another SDXL base checkpoint", ErrUnsupported,
			info.Kind)
	}
	encoders := []string{"text_encoder_2"}
	if info.Kind == backend.KindSDXLBase {
		encoders = append(encoders, "text_encoder")
	}
	for _, c := range info.Components {
		if !c.Opened && slices.Contains(encoders, c.Name) {
			return fmt.Errorf("%w: the refiner's files hold no %s; give a complete checkpoint", ErrUnsupported, c.Name)
		}
	}
	u, width := info.UNet, info.TextEncoder2.Width
	if info.Kind == backend.KindSDXLBase {
		width += info.TextEncoder.Width
	}
	switch {
	case u.InChannels != base.UNet.OutChannels || u.OutChannels != base.UNet.OutChannels:
		return fmt.Errorf("%w: the refiner's UNet takes %d channels and yields %d, the base's latents have %d", ErrUnsupported,
			u.InChannels, u.OutChannels, base.UNet.OutChannels)
	case u.ContextDim != width:
		return fmt.Errorf("%w: the refiner's text encoders yield %d values a token, its UNet takes %d; they do not belong together",
			ErrUnsupported, width, u.ContextDim)
	case u.PooledDim != info.TextEncoder2.ProjectionDim:
		return fmt.Errorf("%w: the refiner's text encoder projects to %d, its UNet takes %d; they do not belong together", ErrUnsupported,
			info.TextEncoder2.ProjectionDim, u.PooledDim)
	}
	return nil
}

// checkTAESD refuses an autoencoder that does not decode the base's latents.
func checkTAESD(info, base backend.ModelInfo) error {
	decoder, _ := Component(info, "vae_decoder")
	v := info.VAE
	switch {
	case info.Kind != backend.KindTAESD || !decoder.Opened:
		return fmt.Errorf("%w: it holds no decoder of a TAESD", ErrUnsupported)
	case v.LatentChannels != base.VAE.LatentChannels || v.Downscale != base.VAE.Downscale:
		return fmt.Errorf("%w: it decodes latents of %d channels to %d times the size, the model's have %d channels for %d", ErrUnsupported,
			v.LatentChannels, v.Downscale, base.VAE.LatentChannels, base.VAE.Downscale)
	}
	return nil
}

// checkNet refuses ControlNets whose residuals the base cannot take, or that are told other things than the base.
func checkNet(info, model backend.ModelInfo) error {
	u, base := info.UNet, model.UNet
	switch {
	case info.Kind == backend.KindIPAdapter && (info.IPAdapter.Layers != base.Attentions || info.IPAdapter.Values != base.AttentionValues ||
		info.IPAdapter.ContextDim != base.ContextDim):
		return fmt.Errorf("%w: the IP-Adapter is for %d attentions and tokens of %d channels, the UNet has %d and %d: it is for another model",
			ErrUnsupported, info.IPAdapter.Layers, info.IPAdapter.ContextDim, base.Attentions, base.ContextDim)
	case info.Kind == backend.KindIPAdapter, info.Kind == backend.KindImageEncoder, info.Kind == backend.KindDetector:
		return nil
	case info.Kind != backend.KindControlNet:
		return fmt.Errorf("%w: a model of kind %q is no ControlNet", ErrUnsupported, info.Kind)
	case info.Control.IsT2IAdapter():
		return checkAdapter(info.Control, base)
	case info.Control.IsXS():
		return checkXS(info, model)
	case !slices.Equal(u.Channels, base.Channels) || !slices.Equal(u.Resnets, base.Resnets):
		return fmt.Errorf("%w: the ControlNet has levels of %v channels with %v resnets, the UNet of %v with %v: it is for another model",
			ErrUnsupported, u.Channels, u.Resnets, base.Channels, base.Resnets)
	case u.InChannels != base.OutChannels || u.PooledDim != base.PooledDim || u.SizeIDs != base.SizeIDs ||
		u.ContextDim != 0 && u.ContextDim != base.ContextDim:
		return fmt.Errorf("%w: the ControlNet takes %d latent channels, texts of %d and %d values; the model has %d, %d and %d: it is for "+
			"another model",
			ErrUnsupported, u.InChannels, u.ContextDim, u.PooledDim, base.OutChannels, base.ContextDim, base.PooledDim)
	}
	return nil
}

// checkAdapter refuses T2I-Adapters whose features the UNet cannot take.
func checkAdapter(c backend.ControlInfo, base backend.UNetInfo) error {
	const cells, pixels = 64, 8 * 64
	made, wanted := c.FeatureShapes(pixels, pixels), base.BlockShapes(cells, cells)
	if slices.Equal(made, wanted) {
		return nil
	}
	return fmt.Errorf("%w: the T2I-Adapter makes features of (channels, height, width) %v for a picture of %d px, the UNet takes %v: it is "+
		"for another model", ErrUnsupported, made, pixels, wanted)
}
