package native

import (
	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// modelInfo translates what the library says of a model. Counts of levels come from untrusted weights
// and index arrays here, so they are checked.
func modelInfo(in bindings.ModelInfo) (backend.ModelInfo, error) {
	for field, levels := range map[string]int64{"unet levels": in.UNet.Levels, "vae levels": in.VAE.Levels,
		"features": in.Control.Features} {
		if levels < 0 || levels > bindings.MaxLevels {
			return backend.ModelInfo{}, status(opOpen, bindings.ErrEngine, "%s: the library reports %d, of at most %d",
				field, levels, bindings.MaxLevels)
		}
	}
	out := backend.ModelInfo{
		Kind: named[backend.Kind](bindings.Kinds, in.Kind), Precision: named[backend.Precision](bindings.Precisions, in.Precision),
		PrecisionReason: in.PrecisionReason.String(), FlashAttention: in.FlashAttention != 0,
		Threads:     int(in.Threads),
		TextEncoder: textInfo(in.TextEncoder), TextEncoder2: textInfo(in.TextEncoder2),
		UNet: unetInfo(in.UNet), VAE: vaeInfo(in.VAE),
		Control: backend.ControlInfo{HintChannels: int(in.Control.HintChannels), HintDownscale: int(in.Control.HintDownscale),
			Types:           int(in.Control.ControlTypes),
			FeatureChannels: levels(in.Control.FeatureChannels, in.Control.Features), FeatureDownscale: levels(in.Control.FeatureDownscale,
				in.Control.Features), XSChannels: int(in.Control.XSChannels)},
		Upscaler: backend.UpscalerInfo{Scale: int(in.Upscaler.Scale), Channels: int(in.Upscaler.Channels),
			Blocks: int(in.Upscaler.Blocks), Multiple: int(in.Upscaler.Multiple)},
		Detector: backend.DetectorInfo{Classes: int(in.Detector.Classes), Bins: int(in.Detector.Bins), Multiple: int(in.Detector.Multiple)},
	}
	out.UNet.GuidanceDim = int(in.UNetGuidanceDim)
	out.UNet.Attentions, out.UNet.AttentionValues = int(in.UNetAttentions), int(in.UNetAttentionValues)
	e, a := in.ImageEncoder, in.IPAdapter
	out.ImageEncoder = backend.ImageInfo{Width: int(e.Width), Layers: int(e.Layers), Heads: int(e.Heads),
		ProjectionDim: int(e.ProjectionDim), Tokens: int(e.Tokens), Size: int(e.Size)}
	out.IPAdapter = backend.IPAdapterInfo{EmbedDim: int(a.EmbedDim), Hidden: a.Hidden != 0, FaceDim: int(a.FaceDim), Tokens: int(a.Tokens),
		ContextDim: int(a.ContextDim), Layers: int(a.Layers), Values: int(a.Values)}
	for i, c := range in.Components {
		if i >= backend.SDXLComponents && c.Present == 0 {
			continue // what is a model of its own is no part that others lack
		}
		out.Components = append(out.Components, backend.ComponentInfo{
			Name: bindings.Components[i], Present: c.Present != 0, Opened: c.Loaded != 0,
			FileType: named[backend.Type](bindings.Types, c.FileType), Type: named[backend.Type](bindings.Types, c.Type), Tensors: c.TensorCount,
			Parameters: c.ParameterCount, ParameterBytes: c.ParameterBytes, Device: c.Device.String(),
		})
	}
	return out, nil
}

func textInfo(t bindings.TextInfo) backend.TextInfo {
	return backend.TextInfo{
		VocabSize: int(t.VocabSize), Width: int(t.Width), Layers: int(t.Layers), Heads: int(t.Heads),
		ProjectionDim: int(t.ProjectionDim), MaxTokens: int(t.MaxTokens),
	}
}

func unetInfo(u bindings.UNetInfo) backend.UNetInfo {
	return backend.UNetInfo{
		InChannels: int(u.InChannels), OutChannels: int(u.OutChannels), ModelChannels: int(u.ModelChannels),
		ContextDim: int(u.ContextDim), LabelDim: int(u.LabelDim), PooledDim: int(u.PooledDim), SizeIDs: int(u.SizeIDs),
		Channels: levels(u.Channels, u.Levels), Resnets: levels(u.Resnets, u.Levels),
		TransformerDepth: levels(u.TransformerDepth, u.Levels), MiddleDepth: int(u.MiddleDepth),
		HeadDim: int(u.HeadDim), NormNumGroups: int(u.NormNumGroups),
	}
}

func vaeInfo(v bindings.VAEInfo) backend.VAEInfo {
	return backend.VAEInfo{
		LatentChannels:  int(v.LatentChannels),
		EncoderChannels: levels(v.EncoderChannels, v.Levels), DecoderChannels: levels(v.DecoderChannels, v.Levels),
		Downscale: int(v.Downscale), NormNumGroups: int(v.NormNumGroups),
	}
}

// levels returns the first n values of a per-level array; nil for none.
func levels(values [bindings.MaxLevels]int64, n int64) []int {
	var out []int
	for _, v := range values[:n] {
		out = append(out, int(v))
	}
	return out
}
