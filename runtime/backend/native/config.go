package native

import (
	"context"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/internal/contract"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// slicedScores is how many bytes of scores attention in slices keeps: few slices for pictures of 1024 px, some MiB of memory.
const slicedScores = 64 << 20

// modelParams checks and translates a configuration. Whether its devices exist is checked elsewhere.
func modelParams(cfg backend.ModelConfig) (p bindings.ModelParams, err error) {
	if err := checkFiles(cfg.Files); err != nil {
		return p, err
	}
	if err := contract.Config(cfg); err != nil {
		return p, refused(opOpen, err)
	}
	h := cfg.Hyper
	p = bindings.ModelParams{
		Config: &bindings.ModelConfig{
			UNetNormNumGroups: int32(h.UNetNormNumGroups), VAENormNumGroups: int32(h.VAENormNumGroups),
			UNetAttentionHeadDim: int32(h.UNetAttentionHeadDim), TextHeadDim: int32(h.TextHeadDim),
			TextEncoderQuickGELU:  number(bindings.Activations, h.TextEncoderAct),
			TextEncoder2QuickGELU: number(bindings.Activations, h.TextEncoder2Act),
			ImageHeadDim:          int32(h.ImageHeadDim), ImageQuickGELU: number(bindings.Activations, h.ImageEncoderAct),
			XSNormNumGroups: int32(h.XS.NormNumGroups), XSTimeMix: h.XS.TimeMix,
		},
		Device: backend.Named(cfg.Device), DeviceText: deviceName(cfg.TextDevice), DeviceVAE: deviceName(cfg.VAEDevice),
		Components: bits(cfg.Components), Precision: number(bindings.Precisions, cfg.Precision), Threads: int32(cfg.Threads),
		TypeUNet: number(bindings.Types, cfg.UNetType), TypeText: number(bindings.Types, cfg.TextType),
		TypeVAE: number(bindings.Types, cfg.VAEType), FlashAttention: number(bindings.Flashes, cfg.FlashAttention),
		Convolution:   number(bindings.Convs, cfg.Convolution),
		ResidencyText: number(bindings.Residencies, cfg.TextResidency), ResidencyUNet: number(bindings.Residencies, cfg.UNetResidency),
		ResidencyVAE: number(bindings.Residencies, cfg.VAEResidency), StreamBytes: cfg.StreamBytes,
		CacheFolder: cfg.WeightCache.Folder, CacheLeast: cfg.WeightCache.LeastBytes, CacheMost: cfg.WeightCache.MostBytes,
	}
	for l, heads := range h.XS.Heads {
		p.Config.XSHeads[l] = int32(heads)
	}
	if h.XS.BGR {
		p.Config.XSBGR = 1
	}
	if h.XS.TimeMixGiven {
		p.Config.XSTimeMixGiven = 1
	}
	if cfg.AttentionSlicing {
		p.AttentionBytes = slicedScores
	}
	return p, nil
}

// deviceName leaves "auto" out: an absent name means the best device, or for the text encoders and
// the VAE the UNet's.
func deviceName(name string) string {
	if name == "auto" {
		return ""
	}
	return name
}

// checkFiles refuses files that no model consists of.
func checkFiles(f backend.Files) error {
	given, alone := f.Named(), false
	for _, file := range given {
		if strings.ContainsRune(file.Path, 0) {
			return invalid(opOpen, file.Role, "the path %q contains a NUL byte", file.Path)
		}
		alone = alone || file.Alone
	}
	if len(given) > 1 && alone {
		return invalid(opOpen, "files", "a ControlNet, a TAESD, an upscaler, an image encoder, an IP-Adapter and a detector are each a "+
			"model of their own; open them one by one")
	}
	if len(given) == 0 {
		return invalid(opOpen, "files", "no file is given; name a checkpoint or a diffusers folder as the model")
	}
	return nil
}

// checkDevices refuses device names that the library does not list, naming those it does.
func (b *Backend) checkDevices(ctx context.Context, cfg backend.ModelConfig) error {
	var known []string
	for _, want := range []struct{ field, id string }{
		{"device", backend.Named(cfg.Device)}, {"text device", cfg.TextDevice}, {"vae device", cfg.VAEDevice},
	} {
		if deviceName(want.id) == "" {
			continue
		}
		if known == nil {
			devices, err := b.Devices(ctx)
			if err != nil {
				return err
			}
			for _, d := range devices {
				known = append(known, d.ID)
			}
		}
		if !slices.Contains(known, want.id) {
			return status(opOpen, bindings.ErrDevice, "%s: %q is not here; the %s library lists %s, and auto takes the best",
				want.field, want.id, b.lib.Variant(), strings.Join(known, ", "))
		}
	}
	return nil
}
