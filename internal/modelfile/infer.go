package modelfile

import (
	"fmt"
	"strings"
)

// Caps on counts that are read off names.
const (
	maxLevels = 8
	maxBlocks = 64
)

// infer reads every dimension off the shapes. What is missing stays zero; Check finds it.
func infer(parts []*part) Dims {
	var d Dims
	for _, p := range parts {
		switch p.component {
		case "unet":
			d.UNet = inferUNet(p)
		case "vae":
			d.VAE = inferVAE(p)
		case "controlnet":
			d.ControlNet = inferControlNet(p)
		case "taesd":
			d.TAESD = inferTAESD(p)
		case "upscaler":
			d.Upscaler = inferUpscaler(p)
		case "text_encoder":
			d.TextEncoder = inferClip(p)
			d.TextEncoder.ProjectionDim = 0 // SDXL does not use the first encoder's, if a file has it
		case "text_encoder_2":
			if p.has("transformer.resblocks.0.ln_1.weight") {
				d.TextEncoder2 = inferOpenCLIP(p)
			} else {
				d.TextEncoder2 = inferClip(p)
			}
		}
	}
	return d
}

// depth counts the transformer blocks of an attention.
func (p *part) depth(attn string) int {
	n := 0
	for n < maxBlocks && p.has(fmt.Sprintf("%s.transformer_blocks.%d.norm1.weight", attn, n)) {
		n++
	}
	return n
}

func inferUNet(p *part) *UNetDims {
	b := &specs{diffusers: p.layout == LayoutDiffusers}
	u := &UNetDims{}
	convIn := b.pick("input_blocks.0.0.weight", "conv_in.weight")
	u.InChannels = p.dim(convIn, 1)
	u.OutChannels = p.dim(b.pick("out.2.weight", "conv_out.weight"), 0)
	u.TimeDim = p.dim(b.pick("time_embed.0.weight", "time_embedding.linear_1.weight"), 0)
	u.LabelDim = p.dim(b.pick("label_emb.0.0.weight", "add_embedding.linear_1.weight"), 1)
	attention := ""
	n := 1
	for l := 0; l < maxLevels; l++ {
		var depths []int
		width := 0
		for i := 0; i < maxBlocks; i++ {
			res, attn := b.downNames(l, i, n)
			w := p.dim(b.resConv1(res)+".weight", 0)
			if w == 0 {
				break
			}
			width = w
			depth := p.depth(attn)
			if depth > 0 {
				attention = attn
			}
			depths = append(depths, depth)
			n++
		}
		if len(depths) == 0 {
			break
		}
		u.Channels = append(u.Channels, width)
		u.Resnets = append(u.Resnets, len(depths))
		u.DownDepth = append(u.DownDepth, depths)
		if !p.has(b.downsample(l, n) + ".weight") {
			break
		}
		n++
	}
	inferUNetUp(p, b, u)
	if attention != "" {
		u.ContextDim = p.dim(attention+".transformer_blocks.0.attn2.to_k.weight", 1)
		if x, ok := p.table.tensors[p.prefix+attention+".proj_in.weight"]; ok {
			u.ConvAttention = len(x.Shape) == 4
		}
	}
	return u
}

// inferUNetUp reads the middle and the way up, whose levels and resnets follow from the way down.
func inferUNetUp(p *part, b *specs, u *UNetDims) {
	u.MiddleResnets = 1
	u.MiddleDepth = p.depth(b.pick("middle_block.1", "mid_block.attentions.0"))
	if p.has("middle_block.2.in_layers.2.weight") || p.has("middle_block.1.in_layers.2.weight") || p.has("mid_block.resnets.1.conv1.weight") {
		u.MiddleResnets = 2
	}
	last, n := len(u.Channels)-1, 0
	u.UpDepth = make([][]int, len(u.Channels))
	for l := last; l >= 0; l-- {
		u.UpDepth[l] = make([]int, u.Resnets[l]+1)
		for i := range u.UpDepth[l] {
			_, attn := b.upNames(last-l, i, n)
			u.UpDepth[l][i] = p.depth(attn)
			n++
		}
	}
}

func inferVAE(p *part) *VAEDims {
	b := &specs{diffusers: p.layout == LayoutDiffusers}
	v := &VAEDims{QuantConv: p.has("quant_conv.weight"), PostQuantConv: p.has("post_quant_conv.weight")}
	v.LatentChannels = p.dim("decoder.conv_in.weight", 1)
	if v.LatentChannels == 0 {
		v.LatentChannels = p.dim("encoder.conv_out.weight", 0) / 2
	}
	half := func(name, original, diffusers string) (channels []int, resnets int) {
		levels := 0
		for levels < maxLevels && p.has(name+"."+fmt.Sprintf(b.pick(original, diffusers), levels)+".0.conv1.weight") {
			levels++
		}
		for l := range levels {
			channels = append(channels, p.dim(b.vaeBlock(name, levels, l, 0)+".conv1.weight", 0))
		}
		for levels > 0 && resnets < maxBlocks && p.has(b.vaeBlock(name, levels, 0, resnets)+".conv1.weight") {
			resnets++
		}
		return
	}
	v.EncoderChannels, v.EncoderResnets = half("encoder", "down.%d.block", "down_blocks.%d.resnets")
	v.DecoderChannels, v.DecoderResnets = half("decoder", "up.%d.block", "up_blocks.%d.resnets")
	return v
}

func inferClip(p *part) *TextDims {
	t := &TextDims{
		VocabSize:    p.dim("embeddings.token_embedding.weight", 0),
		Width:        p.dim("embeddings.token_embedding.weight", 1),
		MaxTokens:    p.dim("embeddings.position_embedding.weight", 0),
		Intermediate: p.dim("encoder.layers.0.mlp.fc1.weight", 0),
		Layers:       p.layers("encoder.layers.%d.layer_norm1.weight"),
	}
	for _, name := range p.fullNames(projection) {
		if n := p.table.dim(name, 0); n > 0 {
			t.ProjectionDim = n
			break
		}
	}
	return t
}

func inferOpenCLIP(p *part) *TextDims {
	return &TextDims{
		VocabSize:     p.dim("token_embedding.weight", 0),
		Width:         p.dim("token_embedding.weight", 1),
		MaxTokens:     p.dim("positional_embedding", 0),
		Intermediate:  p.dim("transformer.resblocks.0.mlp.c_fc.weight", 0),
		Layers:        p.layers("transformer.resblocks.%d.ln_1.weight"),
		ProjectionDim: p.dim("text_projection", 1),
	}
}

func (p *part) layers(format string) int {
	n := 0
	for n < 4*maxBlocks && p.has(fmt.Sprintf(format, n)) {
		n++
	}
	return n
}

// usable says what is missing for Specs to be computed; empty if nothing is.
func (d Dims) usable() (component, what string) {
	if u := d.UNet; u != nil {
		switch {
		case u.InChannels <= 0:
			return "unet", "its first convolution"
		case u.OutChannels <= 0:
			return "unet", "its last convolution"
		case u.TimeDim <= 0:
			return "unet", "its time embedding"
		case len(u.Channels) == 0:
			return "unet", "its blocks on the way down"
		}
	}
	if c := d.ControlNet; c != nil && (c.UNet.InChannels <= 0 || c.UNet.TimeDim <= 0 || len(c.UNet.Channels) == 0 || len(c.HintChannels) == 0) {
		return "controlnet", "its first convolutions, its time embedding or its blocks"
	}
	if u := d.Upscaler; u != nil && (u.Channels <= 0 || u.Growth <= 0) {
		return "upscaler", "its first convolution"
	}
	if v := d.VAE; v != nil && (v.LatentChannels <= 0 || len(v.EncoderChannels)+len(v.DecoderChannels) == 0) {
		return "vae", "its first convolution or its blocks"
	}
	for name, t := range map[string]*TextDims{"text_encoder": d.TextEncoder, "text_encoder_2": d.TextEncoder2} {
		if t != nil && (t.Width <= 0 || t.MaxTokens <= 0 || t.Layers <= 0 || t.Intermediate <= 0) {
			return name, "its embeddings or first layer"
		}
	}
	return "", ""
}

// specLayout is the layout under which Specs has a part's names: OpenCLIP's or transformers'.
func (p *part) specLayout() Layout {
	if p.component == "text_encoder_2" {
		if p.has("transformer.resblocks.0.ln_1.weight") {
			return LayoutOriginal
		}
		return LayoutDiffusers
	}
	if p.component == "text_encoder" && strings.HasPrefix(p.prefix, "cond") {
		return LayoutOriginal
	}
	return p.layout
}
