package modelfile

import (
	"fmt"
	"slices"
	"strings"
)

// classify decides what a source is. reason says why it is not supported.
func (s *source) classify(d Dims) (kind, unet Kind, reason string) {
	if s.folder == nil {
		known := d.ControlNet != nil || d.IPAdapter != nil // FaceID's files have the LoRA that goes with them
		if k, why := classifyNames(s.files[0]); k != "" && (k != KindControlNet && k != KindLoRA || !known) {
			return k, "", why
		}
	}
	if len(s.parts) == 1 {
		if a, _ := anatomyOf(s.parts[0].component); a.alone != nil {
			kind, reason = a.alone(s.parts[0], d)
			return kind, "", reason
		}
	}
	has := map[string]bool{}
	for _, p := range s.parts {
		has[p.component] = true
	}
	if d.UNet != nil {
		unet, reason = d.unetKind()
		if reason != "" {
			return unet, "", reason
		}
		if !has["text_encoder"] && !has["text_encoder_2"] && !has["vae"] {
			return KindUNet, unet, ""
		}
		return unet, unet, ""
	}
	switch {
	case has["vae"] && !has["text_encoder"] && !has["text_encoder_2"]:
		if n := d.VAE.LatentChannels; n != 4 && n != unknown {
			return KindVAE, "", fmt.Sprintf("a VAE with %d latent channels; SDXL's has 4", d.VAE.LatentChannels)
		}
		return KindVAE, "", ""
	case (has["text_encoder"] || has["text_encoder_2"]) && !has["vae"]:
		return KindTextEncoder, "", ""
	}
	return KindUnknown, "", "not supported: the tensor names are those of no model known here" + s.example()
}

func (s *source) example() string {
	if len(s.files) == 0 || len(s.files[0].Tensors) == 0 {
		return " (the file has no tensors)"
	}
	return " (the first is " + quoteName(s.files[0].Tensors[0].Name) + ")"
}

// unetKind tells SDXL's varieties by the label embedding: base has the pooled width of the second encoder
// and 6 x 256, and a context of both encoders' widths; the refiner has 5 x 256 and the second's alone.
func (d Dims) unetKind() (Kind, string) {
	u := d.UNet
	if u.LabelDim == 0 {
		switch u.ContextDim {
		case 768:
			return KindSD1, "not supported: a Stable Diffusion 1.x model (context of 768 channels, no size conditioning)"
		case 1024:
			return KindSD2, "not supported: a Stable Diffusion 2.x model (context of 1,024 channels, no size conditioning)"
		}
		return KindUnknown, fmt.Sprintf("not supported: a UNet without size conditioning, context of %d channels", u.ContextDim)
	}
	kind := KindSDXLBase
	if d.TextEncoder == nil && (u.LabelDim == u.ContextDim+5*256 || u.LabelDim == unknown && u.ContextDim == 1280) {
		kind = KindSDXLRefiner
	}
	switch u.InChannels {
	case 4:
	case 9:
		kind = KindSDXLInpaint
	case unknown: // its first convolution is missing; Check will say so
	default:
		return KindUnknown, fmt.Sprintf("not supported: an SDXL UNet with %d input channels; 4 and 9 (inpainting) are", u.InChannels)
	}
	return kind, ""
}

// Name parts that tell a kind, looked for in order.
var (
	loraMarks = []string{".lora_down.weight", ".lora_up.weight", ".lora_A.", ".lora_B.", ".lora.down.weight", ".lora.up.weight",
		"_lora.down.weight", "_lora.up.weight", ".hada_w1_a", ".hada_w1_b", ".lokr_w1", ".lokr_w2", ".oft_blocks", ".oft_diag", ".on_input",
		".diff_b", ".lora_linear_layer.", ".dora_scale", ".w_norm", ".b_norm"}
	controlMarks = []string{"controlnet_cond_embedding.", "input_hint_block.", "control_model.", "controlnet_down_blocks."}
)

// classifyNames recognises what is no checkpoint, by the names of its tensors.
func classifyNames(f *File) (Kind, string) {
	for _, t := range f.Tensors {
		if why := xsOther(t.Name); why != "" {
			return KindControlNetXS, why
		}
	}
	lora, inversion := 0, 0
	for _, t := range f.Tensors {
		n := t.Name
		marked := func(mark string) bool { return strings.Contains(n, mark) }
		if slices.ContainsFunc(loraMarks, marked) || strings.HasSuffix(n, ".diff") {
			lora++
		}
		if controlMarked(n) {
			return KindControlNet, ""
		}
		switch {
		case strings.Contains(n, "double_blocks.0.") || strings.Contains(n, "single_transformer_blocks.0."):
			return KindFlux, "not supported: a Flux model; SDXL is"
		case strings.Contains(n, "joint_blocks.0.") || strings.HasPrefix(n, "transformer_blocks.0.attn.add_q_proj"):
			return KindSD3, "not supported: a Stable Diffusion 3 model; SDXL is"
		}
		if isEmbeddingName(n) {
			inversion++
		}
	}
	if lora > 0 {
		return KindLoRA, ""
	}
	if len(f.Tensors) > 0 && (inversion > 0 || len(f.Tensors) <= 2 && embeddingShapes(f)) && len(f.Tensors) <= 4 {
		return KindTextualInversion, embeddingReason(f)
	}
	return "", ""
}

// controlMarked reports whether only a ControlNet has a tensor of that name.
func controlMarked(name string) bool {
	return slices.ContainsFunc(controlMarks, func(mark string) bool { return strings.Contains(name, mark) })
}

// embeddingShapes: every tensor is a vector or a few vectors of a text encoder's width.
func embeddingShapes(f *File) bool {
	for _, t := range f.Tensors {
		if len(t.Shape) == 0 || len(t.Shape) > 2 || strings.Contains(t.Name, ".") {
			return false
		}
		if !slices.Contains([]int64{64, 768, 1024, 1280}, t.Shape[len(t.Shape)-1]) || len(t.Shape) == 2 && t.Shape[0] > maxVectors {
			return false
		}
	}
	return true
}
