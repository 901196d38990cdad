package contract

import (
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Opened tells whether a component was opened with its model.
func Opened(info backend.ModelInfo, component string) bool {
	return slices.ContainsFunc(info.Components, func(c backend.ComponentInfo) bool { return c.Name == component && c.Opened })
}

// CloneInfo returns a value that shares no memory with info.
func CloneInfo(info backend.ModelInfo) backend.ModelInfo {
	info.Components = slices.Clone(info.Components)
	for _, list := range []*[]int{&info.UNet.Channels, &info.UNet.Resnets, &info.UNet.TransformerDepth,
		&info.VAE.EncoderChannels, &info.VAE.DecoderChannels} {
		*list = slices.Clone(*list)
	}
	return info
}

// ResidencyOf is a component's residency by its model's configuration.
func ResidencyOf(cfg backend.ModelConfig, component string) backend.Residency {
	r := cfg.UNetResidency
	switch {
	case strings.HasPrefix(component, "text_encoder"):
		r = cfg.TextResidency
	case strings.HasPrefix(component, "vae_"):
		r = cfg.VAEResidency
	}
	if r == "" {
		r = backend.ResidencyResident
	}
	return r
}
