package contract

import (
	"cmp"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Components names all that a model can have.
var Components = backend.ComponentNames[:]

// Component is the one that a stage belongs to; "" for what is no stage.
func Component(s backend.Stage) string {
	return map[backend.Stage]string{
		backend.StageText: "text_encoder", backend.StageText2: "text_encoder_2", backend.StageUNet: "unet",
		backend.StageFeatures:  "unet",
		backend.StageVAEEncode: "vae_encoder", backend.StageVAEDecode: "vae_decoder",
		backend.StageControl: "controlnet", backend.StageControlHint: "controlnet", backend.StageUpscale: "upscaler",
		backend.StageImageEncode: "image_encoder", backend.StageIPAdapter: "ip_adapter", backend.StageDetect: "detector",
		backend.StageVAEEncodeLevels: "vae_encoder", backend.StageVAEEncodeMiddle: "vae_encoder",
		backend.StageVAEDecodeMiddle: "vae_decoder", backend.StageVAEDecodeLevels: "vae_decoder",
	}[s]
}

// Need refuses a component that was not opened with its model.
func Need(info backend.ModelInfo, component string) error {
	if slices.Contains(opened(info), component) {
		return nil
	}
	return refusal("this model ("+string(info.Kind)+") has no "+component+"; give one with a file for it", backend.ErrUnsupported)
}

// Named checks names of components that were opened; none means all of these.
func Named(info backend.ModelInfo, names []string) ([]string, error) {
	if len(names) == 0 {
		return opened(info), nil
	}
	for _, name := range names {
		if err := oneOf("components", name, Components); err != nil {
			return nil, err
		}
		if err := Need(info, name); err != nil {
			return nil, err
		}
	}
	return names, nil
}

func opened(info backend.ModelInfo) (names []string) {
	for _, c := range info.Components {
		if c.Opened {
			names = append(names, c.Name)
		}
	}
	return names
}

// Info returns a value that shares no memory with info, and tells what the model holds now.
func Info(info backend.ModelInfo, held backend.MemoryStats) backend.ModelInfo {
	info.Components = slices.Clone(info.Components)
	for _, list := range []*[]int{&info.UNet.Channels, &info.UNet.Resnets, &info.UNet.TransformerDepth,
		&info.VAE.EncoderChannels, &info.VAE.DecoderChannels, &info.Control.FeatureChannels, &info.Control.FeatureDownscale} {
		*list = slices.Clone(*list)
	}
	for _, h := range held.Components {
		c := &info.Components[slices.IndexFunc(info.Components, func(c backend.ComponentInfo) bool { return c.Name == h.Name })]
		c.Loaded, c.ResidentBytes, c.MappedBytes = h.Loaded, h.Weights+h.Host, h.Mapped
	}
	return info
}

// Place notes where a configuration wants the weights of each component that was opened.
func Place(info backend.ModelInfo, cfg backend.ModelConfig) {
	for i := range info.Components {
		c := &info.Components[i]
		r := cfg.UNetResidency
		switch {
		case strings.HasPrefix(c.Name, "text_encoder"), c.Name == "image_encoder":
			r = cfg.TextResidency
		case strings.HasPrefix(c.Name, "vae_"):
			r = cfg.VAEResidency
		}
		if c.Opened {
			c.Residency = cmp.Or(r, backend.ResidencyResident)
		}
	}
}
