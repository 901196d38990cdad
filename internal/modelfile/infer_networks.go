package modelfile

import (
	"fmt"
	"strings"
)

// locateNetwork finds a ControlNet, a TAESD or an upscaler, which are files of their own; nil for others.
func locateNetwork(t *table) *part {
	if p := probe(t, "controlnet", []string{"control_model.", "controlnet.", ""}, "input_hint_block.0.weight",
		"controlnet_cond_embedding.conv_in.weight"); p != nil {
		return p
	}
	for _, half := range []string{"encoder.", "decoder."} {
		if p := probe(t, "taesd", []string{""}, "", half+"layers.0.weight"); p != nil {
			return p
		}
	}
	if t.has("1.conv.0.weight") && t.has("0.weight") || t.has("1.weight") && t.has("3.conv.0.weight") {
		return &part{component: "taesd", layout: LayoutOriginal}
	}
	return probe(t, "upscaler", []string{"params_ema.", "params.", "state_dict.", "module.", ""}, "model.1.sub.0.RDB1.conv1.0.weight",
		"body.0.rdb1.conv1.weight")
}

func inferControlNet(p *part) *ControlNetDims {
	c := &ControlNetDims{UNet: *inferUNet(p)}
	c.UNet.OutChannels, c.UNet.UpDepth = 0, nil
	b := &specs{diffusers: p.layout == LayoutDiffusers}
	var names []string
	for i := range maxBlocks {
		name := fmt.Sprintf("controlnet_cond_embedding.blocks.%d", i-1)
		if i == 0 {
			name = "controlnet_cond_embedding.conv_in"
		}
		names = append(names, b.pick(fmt.Sprintf("input_hint_block.%d", 2*i), name)+".weight")
	}
	for i, name := range names {
		width := p.dim(name, 0)
		// In the original layout nothing but the missing successor tells the last convolution.
		if width == 0 || !b.diffusers && (i+1 == len(names) || !p.has(names[i+1])) {
			break
		}
		c.HintChannels = append(c.HintChannels, width)
	}
	c.Types, c.FuseWidth = p.dim("task_embedding", 0), p.dim("task_embedding", 1)
	for c.FuseLayers < maxBlocks && p.has(fmt.Sprintf("transformer_layes.%d.ln_1.weight", c.FuseLayers)) {
		c.FuseLayers++
	}
	return c
}

// inferTAESD counts the blocks between the convolutions that change the size. Files of the original layout, with bare numbers, are
// described by their names alone.
func inferTAESD(p *part) *TAESDDims {
	t := &TAESDDims{}
	if p.layout == LayoutOriginal {
		t.Channels = max(p.dim("0.weight", 0), p.dim("1.weight", 0))
		t.LatentChannels = 4
		return t
	}
	half := func(side string) (blocks []int) {
		in := p.dim(side+".layers.0.weight", 0)
		if in == 0 {
			return nil
		}
		t.Channels = in
		blocks = []int{0}
		for i := 1; i < maxBlocks; i++ {
			name := fmt.Sprintf("%s.layers.%d", side, i)
			switch {
			case p.has(name + ".conv.0.weight"):
				blocks[len(blocks)-1]++
			case p.has(name+".weight") && !p.has(name+".bias"):
				blocks = append(blocks, 0)
			case p.has(name + ".weight"):
				if side == "encoder" {
					t.LatentChannels = p.dim(name+".weight", 0)
				}
				return blocks
			}
		}
		return blocks
	}
	t.EncoderBlocks = half("encoder")
	if t.DecoderBlocks = half("decoder"); t.DecoderBlocks != nil {
		t.LatentChannels = p.dim("decoder.layers.0.weight", 1)
	}
	return t
}

func inferUpscaler(p *part) *UpscalerDims {
	b := &specs{diffusers: p.layout == LayoutDiffusers}
	u := &UpscalerDims{Channels: p.dim(b.pick("model.0", "conv_first")+".weight", 0),
		Growth: p.dim(b.pick("model.1.sub.0.RDB1.conv1.0", "body.0.rdb1.conv1")+".weight", 0)}
	for u.Blocks < 4*maxBlocks && p.has(fmt.Sprintf(b.pick("model.1.sub.%d.RDB1.conv1.0", "body.%d.rdb1.conv1")+".weight", u.Blocks)) {
		u.Blocks++
	}
	if b.diffusers {
		for u.Upsamplings < maxLevels && p.has(fmt.Sprintf("conv_up%d.weight", u.Upsamplings+1)) {
			u.Upsamplings++
		}
	} else {
		for u.Upsamplings < maxLevels && !p.has(fmt.Sprintf("model.%d.weight", 3*u.Upsamplings+2)) {
			u.Upsamplings++
		}
	}
	return u
}

// classifyNetwork says what is known of a file that locateNetwork found.
func (p *part) classifyNetwork(d Dims) (Kind, string) {
	switch p.component {
	case "taesd":
		return KindTAESD, ""
	case "upscaler":
		return KindUpscaler, ""
	}
	for name := range p.table.tensors {
		if name == "lora_controlnet" || strings.HasSuffix(name, ".up") && p.table.has(strings.TrimSuffix(name, ".up")+".down") {
			return KindControlNet, "not supported: a Control-LoRA, whose weights are differences to a UNet's; use a full ControlNet"
		}
	}
	u := d.ControlNet.UNet
	switch {
	case u.LabelDim > 0 || u.TimeDim == 0:
		return KindControlNet, ""
	case u.ContextDim == 768:
		return KindControlNet, "not supported: a ControlNet for Stable Diffusion 1.x (context of 768 channels, no size conditioning); use one for SDXL"
	case u.ContextDim == 1024:
		return KindControlNet, "not supported: a ControlNet for Stable Diffusion 2.x (context of 1,024 channels, no size conditioning); use one for SDXL"
	}
	return KindControlNet, "not supported: a ControlNet without size conditioning; use one for SDXL"
}
