package modelfile

import "fmt"

// ControlNetDims describes an SDXL ControlNet: the way down and the middle of a UNet (UpDepth and OutChannels are absent) and a
// network for the control picture.
type ControlNetDims struct {
	UNet         UNetDims `json:"unet"`
	HintChannels []int    `json:"hint_channels"` // of its convolutions before the last: 16 16 32 32 96 96 256
	// Of a Union net only.
	Types      int `json:"control_types,omitempty"` // 6, or 8 for ProMax
	FuseWidth  int `json:"fuse_width,omitempty"`    // 320
	FuseLayers int `json:"fuse_layers,omitempty"`   // 1
}

// TAESDDims describes a tiny autoencoder; a half without blocks is absent.
type TAESDDims struct {
	LatentChannels int   `json:"latent_channels"` // 4
	Channels       int   `json:"channels"`        // 64
	EncoderBlocks  []int `json:"encoder_blocks"`  // per level from the picture's side: 1 3 3 3
	DecoderBlocks  []int `json:"decoder_blocks"`  // per level from the latents' side: 3 3 3 1
}

// UpscalerDims describes an ESRGAN generator (RRDBNet).
type UpscalerDims struct {
	Channels    int `json:"channels"`    // 64
	Growth      int `json:"growth"`      // 32
	Blocks      int `json:"blocks"`      // 23
	Upsamplings int `json:"upsamplings"` // 2: four times as large
}

// SDXLControlNet returns the dimensions of the published ControlNets for SDXL base.
func SDXLControlNet() Dims {
	u := *SDXLBase(4).UNet
	u.OutChannels, u.UpDepth = 0, nil
	return Dims{ControlNet: &ControlNetDims{UNet: u, HintChannels: []int{16, 16, 32, 32, 96, 96, 256}}}
}

// SDXLControlNetUnion returns the dimensions of the published Union ControlNet with six kinds of control.
func SDXLControlNetUnion() Dims {
	d := SDXLControlNet()
	d.ControlNet.HintChannels = []int{48, 48, 96, 96, 192, 192, 384}
	d.ControlNet.Types, d.ControlNet.FuseWidth, d.ControlNet.FuseLayers = 6, 320, 1
	return d
}

// SDXLTAESD returns the dimensions of TAESD-XL.
func SDXLTAESD() Dims {
	return Dims{TAESD: &TAESDDims{LatentChannels: 4, Channels: 64, EncoderBlocks: []int{1, 3, 3, 3}, DecoderBlocks: []int{3, 3, 3, 1}}}
}

// ESRGANx4 returns the dimensions of the published four-times ESRGAN and Real-ESRGAN models.
func ESRGANx4() Dims {
	return Dims{Upscaler: &UpscalerDims{Channels: 64, Growth: 32, Blocks: 23, Upsamplings: 2}}
}

// NanoControlNet returns the dimensions of a ControlNet for a UNet of Nano's.
func NanoControlNet() Dims {
	u := *Nano().UNet
	u.OutChannels, u.UpDepth = 0, nil
	return Dims{ControlNet: &ControlNetDims{UNet: u, HintChannels: []int{8, 8, 16, 16, 24, 24, 32}}}
}

// NanoControlNetUnion is NanoControlNet with six kinds of control.
func NanoControlNetUnion() Dims {
	d := NanoControlNet()
	d.ControlNet.Types, d.ControlNet.FuseWidth, d.ControlNet.FuseLayers = 6, 32, 1
	return d
}

func (b *specs) controlNet(c *ControlNetDims) {
	u := &c.UNet
	ch, skips := b.unetDown(u)
	b.middle(u, ch)
	hint := func(i int) string {
		name := fmt.Sprintf("controlnet_cond_embedding.blocks.%d", i-1)
		switch i {
		case 0:
			name = "controlnet_cond_embedding.conv_in"
		case len(c.HintChannels):
			name = "controlnet_cond_embedding.conv_out"
		}
		return b.pick(fmt.Sprintf("input_hint_block.%d", 2*i), name)
	}
	in := 3
	for i, out := range c.HintChannels {
		b.conv(hint(i), RoleWeight, in, out, 3)
		in = out
	}
	b.conv(hint(len(c.HintChannels)), RoleWeight, in, u.Channels[0], 3)
	for i, s := range skips {
		b.conv(b.pick(fmt.Sprintf("zero_convs.%d.0", i), fmt.Sprintf("controlnet_down_blocks.%d", i)), RoleWeight, s, s, 1)
	}
	b.conv(b.pick("middle_block_out.0", "controlnet_mid_block"), RoleWeight, ch, ch, 1)
	if c.Types > 0 {
		b.controlUnion(c)
	}
}

// controlUnion is what ControlNetUnionModel adds; its names are the same in both layouts ("transformer_layes" is theirs).
func (b *specs) controlUnion(c *ControlNetDims) {
	w, u := c.FuseWidth, &c.UNet
	b.add("task_embedding", RoleWeight, c.Types, w)
	for i := range c.FuseLayers {
		l := fmt.Sprintf("transformer_layes.%d", i)
		b.add(l+".attn.in_proj_weight", RoleWeight, 3*w, w)
		b.add(l+".attn.in_proj_bias", RoleBias, 3*w)
		b.linear(l+".attn.out_proj", RoleResidual, w, w)
		b.norm(l+".ln_1", w)
		b.linear(l+".mlp.c_fc", RoleWeight, w, 4*w)
		b.linear(l+".mlp.c_proj", RoleResidual, 4*w, w)
		b.norm(l+".ln_2", w)
	}
	b.linear("spatial_ch_projs", RoleWeight, w, u.Channels[0])
	b.linear("control_add_embedding.linear_1", RoleWeight, 256*c.Types, u.TimeDim)
	b.linear("control_add_embedding.linear_2", RoleWeight, u.TimeDim, u.TimeDim)
}

// taesd has diffusers' names in both layouts: the original one is of one half a file, with bare numbers.
func (b *specs) taesd(t *TAESDDims) {
	half := func(side string, blocks []int, in, out int) {
		n := 0
		name := func() string { n++; return fmt.Sprintf("%s.layers.%d", side, n-1) }
		b.conv(name(), RoleWeight, in, t.Channels, 3)
		if side == "decoder" {
			n++ // ReLU
		}
		for l, count := range blocks {
			if side == "encoder" && l > 0 {
				b.add(name()+".weight", RoleWeight, t.Channels, t.Channels, 3, 3)
			}
			for range count {
				block := name()
				b.conv(block+".conv.0", RoleWeight, t.Channels, t.Channels, 3)
				b.conv(block+".conv.2", RoleWeight, t.Channels, t.Channels, 3)
				b.conv(block+".conv.4", RoleResidual, t.Channels, t.Channels, 3)
			}
			if side == "decoder" && l+1 < len(blocks) {
				n++ // twice as large
				b.add(name()+".weight", RoleWeight, t.Channels, t.Channels, 3, 3)
			}
		}
		b.conv(name(), RoleOut, t.Channels, out, 3)
	}
	if len(t.EncoderBlocks) > 0 {
		half("encoder", t.EncoderBlocks, 3, t.LatentChannels)
	}
	if len(t.DecoderBlocks) > 0 {
		half("decoder", t.DecoderBlocks, t.LatentChannels, 3)
	}
}

// upscaler has BasicSR's names, or those of ESRGAN's first, sequential form as the original layout.
func (b *specs) upscaler(u *UpscalerDims) {
	c := u.Channels
	b.conv(b.pick("model.0", "conv_first"), RoleWeight, 3, c, 3)
	for i := range u.Blocks {
		for k := 1; k <= 3; k++ {
			for j := 1; j <= 5; j++ {
				out, role := u.Growth, RoleWeight
				if j == 5 {
					out, role = c, RoleResidual
				}
				b.conv(b.pick(fmt.Sprintf("model.1.sub.%d.RDB%d.conv%d.0", i, k, j), fmt.Sprintf("body.%d.rdb%d.conv%d", i, k, j)), role,
					c+(j-1)*u.Growth, out, 3)
			}
		}
	}
	b.conv(b.pick(fmt.Sprintf("model.1.sub.%d", u.Blocks), "conv_body"), RoleResidual, c, c, 3)
	for i := 1; i <= u.Upsamplings; i++ {
		b.conv(b.pick(fmt.Sprintf("model.%d", 3*i), fmt.Sprintf("conv_up%d", i)), RoleWeight, c, c, 3)
	}
	b.conv(b.pick(fmt.Sprintf("model.%d", 3*u.Upsamplings+2), "conv_hr"), RoleWeight, c, c, 3)
	b.conv(b.pick(fmt.Sprintf("model.%d", 3*u.Upsamplings+4), "conv_last"), RoleOut, c, 3, 3)
}
