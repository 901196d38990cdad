package modelfile

import (
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// ControlNetDims describes an SDXL ControlNet: the way down and the middle of a UNet (UpDepth and OutChannels are absent) and a
// network for the control picture.
type ControlNetDims struct {
	UNet         UNetDims `json:"unet"`
	HintChannels []int    `json:"hint_channels"` // of its convolutions before the last: 16 16 32 32 96 96 256
	// Of a Union net only.
	Types      int `json:"control_types,omitempty"` // 6, or 8 for ProMax
	FuseWidth  int `json:"fuse_width,omitempty"`    // 320
	FuseLayers int `json:"fuse_layers,omitempty"`   // 1
	// T2IAdapter is what there is instead of all that, if the file is no ControlNet but a T2I-Adapter.
	T2IAdapter *T2IAdapterDims `json:"t2i_adapter,omitempty"`
	// XS is the same of a ControlNet-XS.
	XS *ControlXSDims `json:"controlnet_xs,omitempty"`
}

func locateControlNet(t *table) *part {
	if p := locateXS(t); p != nil {
		return p
	}
	p := probe(t, "controlnet", prefixes["controlnet"], "input_hint_block.0.weight", "controlnet_cond_embedding.conv_in.weight")
	if p != nil {
		return p
	}
	if p = locateT2I(t); p != nil {
		return p
	}
	for name := range t.tensors {
		if controlMarked(name) {
			return t.lost("controlnet", true, prefixes["controlnet"], LayoutOriginal, LayoutDiffusers)
		}
	}
	return nil
}

func (c *ControlNetDims) lacks() string {
	if c.T2IAdapter != nil {
		return c.T2IAdapter.lacks()
	}
	if c.XS != nil {
		return c.XS.lacks()
	}
	if c.UNet.InChannels == 0 || c.UNet.TimeDim == 0 || len(c.UNet.Channels) == 0 || len(c.HintChannels) == 0 {
		return "its first convolutions, its time embedding or its blocks"
	}
	return ""
}

func (c *ControlNetDims) specs(b *specs) {
	if c.T2IAdapter != nil {
		c.T2IAdapter.specs(b)
		return
	}
	if c.XS != nil {
		c.XS.specs(b)
		return
	}
	u := &c.UNet
	ch, skips := b.unetDown(u)
	b.middle(u, ch)
	in := 3
	for i, out := range c.HintChannels {
		b.conv(b.hint(i), RoleWeight, in, out, 3)
		in = out
	}
	last := b.pick(b.hint(len(c.HintChannels)).file, "controlnet_cond_embedding.conv_out")
	b.conv(last, RoleWeight, in, u.Channels[0], 3)
	for i, s := range skips {
		b.conv(b.pick(fmt.Sprintf("zero_convs.%d.0", i), fmt.Sprintf("controlnet_down_blocks.%d", i)), RoleWeight, s, s, 1)
	}
	b.conv(b.pick("middle_block_out.0", "controlnet_mid_block"), RoleWeight, ch, ch, 1)
	if c.Types != 0 {
		c.union(b)
	}
}

// hint names the i-th convolution of the network for the control picture, but for the last.
func (b *specs) hint(i int) pair {
	if i == 0 {
		return b.pick("input_hint_block.0", "controlnet_cond_embedding.conv_in")
	}
	return b.pick(fmt.Sprintf("input_hint_block.%d", 2*i), fmt.Sprintf("controlnet_cond_embedding.blocks.%d", i-1))
}

// union is what ControlNetUnionModel adds; its names are the same in both layouts ("transformer_layes" is theirs).
func (c *ControlNetDims) union(b *specs) {
	w, u := c.FuseWidth, &c.UNet
	b.add(both("task_embedding"), RoleWeight, backend.UseTable, c.Types, w)
	for i := range c.FuseLayers {
		l := both(fmt.Sprintf("transformer_layes.%d", i))
		// Of q, k and v in one matrix the computation needs v only, the last third.
		third := CanonicalPart{Name: CanonicalTensor(b.component, l.canonical+".attn.to_v.weight"), Part: 2, Parts: 3}
		b.add(l.and(".attn.in_proj_weight"), RoleWeight, backend.UseSensitive, 3*w, w).Canonical[0] = third
		third.Name = CanonicalTensor(b.component, l.canonical+".attn.to_v.bias")
		b.add(l.and(".attn.in_proj_bias"), RoleBias, backend.UseVector, 3*w).Canonical[0] = third
		b.matrix(l.and(".attn.out_proj"), RoleResidual, backend.UseSensitive, w, w)
		b.norm(l.and(".ln_1"), w)
		b.sensitive(l.and(".mlp.c_fc"), w, 4*w)
		b.matrix(l.and(".mlp.c_proj"), RoleResidual, backend.UseSensitive, 4*w, w)
		b.norm(l.and(".ln_2"), w)
	}
	b.sensitive(both("spatial_ch_projs"), w, u.Channels[0])
	b.sensitive(both("control_add_embedding.linear_1"), 256*c.Types, u.TimeDim)
	b.sensitive(both("control_add_embedding.linear_2"), u.TimeDim, u.TimeDim)
}

func inferControlNet(p *part) *ControlNetDims {
	if p.isT2I() {
		return &ControlNetDims{T2IAdapter: inferT2I(p)}
	}
	if p.isXS() {
		return &ControlNetDims{XS: inferXS(p)}
	}
	c := &ControlNetDims{UNet: *inferUNet(p)}
	c.UNet.OutChannels, c.UNet.UpDepth = 0, nil
	c.inferHint(p)
	c.Types, c.FuseWidth = p.dim("task_embedding", 0), p.dim("task_embedding", 1)
	c.FuseLayers = p.numbered("transformer_layes", maxBlocks)
	if c.FuseLayers > 0 || p.under("spatial_ch_projs", "control_add_embedding") {
		c.inferUnion(p)
	}
	return c
}

// inferHint reads the widths of the network for the control picture. In the original layout only its number shows the last convolution,
// which is as wide as the UNet.
func (c *ControlNetDims) inferHint(p *part) {
	b := p.names()
	count := 1 + p.numbered("controlnet_cond_embedding.blocks", maxBlocks)
	if !b.diffusers {
		count = max(1, (p.numbered("input_hint_block", 2*maxBlocks)-1)/2)
	}
	for i := range count {
		name := b.hint(i).file
		width := p.agreed(side{name + ".weight", 0}, side{name + ".bias", 0}, side{b.hint(i+1).file + ".weight", 1})
		c.HintChannels = append(c.HintChannels, width)
	}
}

// inferUnion reads a Union net's dimensions from the other tensors if its first tensor is missing.
func (c *ControlNetDims) inferUnion(p *part) {
	c.FuseLayers = max(c.FuseLayers, 1)
	if c.Types == 0 {
		if c.Types = p.told("control_add_embedding.linear_1.weight", 1); c.Types != unknown {
			c.Types /= 256
		}
	}
	if c.FuseWidth == 0 {
		c.FuseWidth = p.agreed(side{"spatial_ch_projs.weight", 1}, side{"transformer_layes.0.ln_1.weight", 0},
			side{"transformer_layes.0.ln_2.weight", 0}, side{"transformer_layes.0.attn.out_proj.weight", 0})
	}
}

// controlKind says whether a ControlNet is one for SDXL.
func controlKind(p *part, d Dims) (Kind, string) {
	if x := d.ControlNet.XS; x != nil {
		return xsKind(x)
	}
	for name := range p.table.tensors {
		if name == "lora_controlnet" || strings.HasSuffix(name, ".up") && p.table.has(strings.TrimSuffix(name, ".up")+".down") {
			return KindControlNet, "not supported: a Control-LoRA, whose weights are differences to a UNet's; `daguerre control merge` makes a ControlNet of it and " +
				"its model"
		}
	}
	if d.ControlNet.T2IAdapter != nil {
		return t2iKind(p)
	}
	u, what := d.ControlNet.UNet, "without size conditioning"
	switch {
	case u.LabelDim != 0 || u.TimeDim <= 0:
		return KindControlNet, ""
	case u.ContextDim == 768:
		what = "for Stable Diffusion 1.x (context of 768 channels, no size conditioning)"
	case u.ContextDim == 1024:
		what = "for Stable Diffusion 2.x (context of 1,024 channels, no size conditioning)"
	}
	return KindControlNet, "not supported: a ControlNet " + what + "; use one for SDXL"
}
