package models

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// xsHyper is what the configuration of a ControlNet-XS says that its weights do not.
func xsHyper(c modelfile.ControlXSConfig, levels int) (h backend.XSHyper) {
	copy(h.Heads[:], c.HeadsOf(levels))
	h.NormNumGroups, h.BGR = c.MaxNormNumGroups, c.ChannelOrder == "bgr"
	if c.TimeEmbeddingMix != nil {
		h.TimeMix, h.TimeMixGiven = *c.TimeEmbeddingMix, true
	}
	return h
}

// checkXS refuses a ControlNet-XS that cannot run inside the base's UNet.
func checkXS(info, model backend.ModelInfo) error {
	u, base := info.UNet, model.UNet
	if !slices.Equal(u.Channels, base.Channels) || !slices.Equal(u.Resnets, base.Resnets) || u.InChannels != base.OutChannels ||
		u.ContextDim != 0 && u.ContextDim != base.ContextDim {
		return fmt.Errorf("%w: the ControlNet-XS is for a UNet with levels of %v channels with %v resnets, %d latent channels and texts of %d "+
			"values; the model's has %v, %v, %d and %d: it is for another model", ErrUnsupported, u.Channels, u.Resnets, u.InChannels, u.ContextDim,
			base.Channels, base.Resnets, base.OutChannels, base.ContextDim)
	}
	if net, _ := Component(info, "controlnet"); cmp.Or(net.Device, "cpu") != DeviceOf(model) {
		return fmt.Errorf("%w: the ControlNet-XS is on %s and the model's UNet on %s; it has to be on the UNet's device", ErrUnsupported,
			net.Device, DeviceOf(model))
	}
	return nil
}
