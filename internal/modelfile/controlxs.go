package modelfile

import (
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// ControlXSDims describes a ControlNet-XS for SDXL: a narrow way down beside a UNet's, with what the two give each other. Levels are
// counted from the highest resolution.
type ControlXSDims struct {
	Base         []int   `json:"base_channels"` // of the UNet that it is for, per level: 320 640 1280
	Channels     []int   `json:"channels"`      // its own: 32 64 128
	Resnets      []int   `json:"resnets"`       // per level: 2
	Depth        [][]int `json:"depth"`         // transformer blocks behind each resnet; 0: no attention
	Inner        []int   `json:"inner"`         // channels of each level's attentions; 0: none
	MiddleDepth  int     `json:"middle_depth"`
	MiddleInner  int     `json:"middle_inner"`
	InChannels   int     `json:"in_channels"` // of the latents: 4
	ContextDim   int     `json:"context_dim"` // 2048
	TimeDim      int     `json:"time_dim"`    // of the time embedding: 1280
	LearnsTime   bool    `json:"learns_time"` // it has a time embedding of its own
	Picture      int     `json:"picture_channels"`
	HintChannels []int   `json:"hint_channels"` // of the picture's convolutions before the last: 16 16 32 32 96 96 256
}

// xsNames are tensors that only such nets have.
var xsNames = []string{"control_to_base_for_conv_in.weight", "mid_block.ctrl_to_base.weight", "down_blocks.0.base_to_ctrl.0.weight",
	"up_connections.0.ctrl_to_base.0.weight"}

func locateXS(t *table) *part {
	for _, name := range xsNames {
		if p := probe(t, "controlnet", prefixes["controlnet"], "", name); p != nil {
			return p
		}
	}
	return nil
}

// isXS reports whether a part's tensors are a ControlNet-XS's and not a ControlNet's.
func (p *part) isXS() bool {
	return p.under("control_to_base_for_conv_in", "mid_block.ctrl_to_base", "mid_block.base_to_ctrl", "up_connections")
}

func (x *ControlXSDims) lacks() string {
	if len(x.Channels) == 0 || x.InChannels == 0 || len(x.HintChannels) == 0 || x.Picture == 0 {
		return "its first convolutions or its blocks"
	}
	return ""
}

func (x *ControlXSDims) specs(b *specs) {
	b.diffusers = true // there is one layout
	in := x.Picture
	for i, out := range x.HintChannels {
		b.conv(b.hint(i), RoleWeight, in, out, 3)
		in = out
	}
	b.conv(both("controlnet_cond_embedding.conv_out"), RoleWeight, in, x.Channels[0], 3)
	if x.LearnsTime {
		b.sensitive(both("time_embedding.linear_1"), x.Base[0], x.TimeDim)
		b.sensitive(both("time_embedding.linear_2"), x.TimeDim, x.TimeDim)
	}
	b.conv(both("conv_in"), RoleWeight, x.InChannels, x.Channels[0], 3)
	b.conv(both("control_to_base_for_conv_in"), RoleWeight, x.Channels[0], x.Base[0], 1)
	own, base, last := x.Channels[0], x.Base[0], len(x.Channels)-1
	skips := []int{own}
	for l, ch := range x.Channels {
		block := fmt.Sprintf("down_blocks.%d", l)
		for i := range x.Resnets[l] {
			b.conv(both(fmt.Sprintf("%s.base_to_ctrl.%d", block, i)), RoleWeight, base, base, 1)
			b.resnet(both(fmt.Sprintf("%s.resnets.%d", block, i)), own+base, ch, x.TimeDim)
			own, base = ch, x.Base[l]
			b.xsTransformer(fmt.Sprintf("%s.attentions.%d", block, i), own, x.Inner[l], x.ContextDim, x.Depth[l][i])
			b.conv(both(fmt.Sprintf("%s.ctrl_to_base.%d", block, i)), RoleWeight, own, base, 1)
			skips = append(skips, own)
		}
		if l < last {
			b.conv(both(fmt.Sprintf("%s.base_to_ctrl.%d", block, x.Resnets[l])), RoleWeight, base, base, 1)
			b.conv(both(block+".downsamplers.conv"), RoleWeight, own+base, own, 3)
			b.conv(both(fmt.Sprintf("%s.ctrl_to_base.%d", block, x.Resnets[l])), RoleWeight, own, base, 1)
			skips = append(skips, own)
		}
	}
	b.conv(both("mid_block.base_to_ctrl"), RoleWeight, base, base, 1)
	b.resnet(both("mid_block.midblock.resnets.0"), own+base, own, x.TimeDim)
	b.xsTransformer("mid_block.midblock.attentions.0", own, x.MiddleInner, x.ContextDim, x.MiddleDepth)
	b.resnet(both("mid_block.midblock.resnets.1"), own, own, x.TimeDim)
	b.conv(both("mid_block.ctrl_to_base"), RoleWeight, own, base, 1)
	for u := range x.Channels {
		level := last - u
		for i := range x.Resnets[level] + 1 {
			to := x.Base[level]
			if i == 0 && u > 0 {
				to = x.Base[level+1]
			}
			b.conv(both(fmt.Sprintf("up_connections.%d.ctrl_to_base.%d", u, i)), RoleWeight, skips[len(skips)-1], to, 1)
			skips = skips[:len(skips)-1]
		}
	}
}

// xsTransformer is Transformer2DModel with attentions that may be narrower than its input, where the heads do not divide that.
func (b *specs) xsTransformer(name string, ch, inner, context, depth int) {
	if depth == 0 {
		return
	}
	b.norm(both(name+".norm"), ch)
	b.linear(both(name+".proj_in"), RoleWeight, ch, inner)
	for d := range depth {
		t := both(fmt.Sprintf("%s.transformer_blocks.%d", name, d))
		for attn, from := range []int{inner, context} {
			a := t.and(fmt.Sprintf(".attn%d", attn+1))
			b.add(a.and(".to_q.weight"), RoleWeight, backend.UseMatrix, inner, inner)
			b.add(a.and(".to_k.weight"), RoleWeight, backend.UseMatrix, inner, from)
			b.add(a.and(".to_v.weight"), RoleWeight, backend.UseMatrix, inner, from)
			b.linear(a.and(".to_out.0"), RoleResidual, inner, inner)
		}
		b.linear(t.and(".ff.net.0.proj"), RoleWeight, inner, 8*inner)
		b.linear(t.and(".ff.net.2"), RoleResidual, 4*inner, inner)
		for i := range 3 {
			b.norm(t.and(fmt.Sprintf(".norm%d", i+1)), inner)
		}
	}
	b.linear(both(name+".proj_out"), RoleResidual, inner, ch)
}

func inferXS(p *part) *ControlXSDims {
	x := &ControlXSDims{InChannels: p.told("conv_in.weight", 1), LearnsTime: p.under("time_embedding"),
		Picture: p.told("controlnet_cond_embedding.conv_in.weight", 1)}
	c := ControlNetDims{}
	c.inferHint(p)
	x.HintChannels = c.HintChannels
	// widths reads an attention: of its inside, and of texts.
	widths := func(attn string, inner *int) (depth int) {
		depth = p.depth(attn)
		for d := range depth {
			t := fmt.Sprintf("%s.transformer_blocks.%d", attn, d)
			if *inner <= 0 {
				*inner = p.agreed(side{t + ".attn1.to_q.weight", 0}, side{t + ".attn1.to_q.weight", 1}, side{t + ".attn1.to_k.weight", 0},
					side{t + ".norm1.weight", 0}, side{t + ".attn2.to_k.weight", 0})
			}
			if x.ContextDim <= 0 {
				x.ContextDim = p.agreed(side{t + ".attn2.to_k.weight", 1}, side{t + ".attn2.to_v.weight", 1})
			}
		}
		return depth
	}
	for l := range max(p.numbered("down_blocks", maxLevels), p.numbered("up_connections", maxLevels)) {
		block := fmt.Sprintf("down_blocks.%d", l)
		n := max(p.numbered(block+".resnets", maxBlocks), p.numbered(block+".attentions", maxBlocks), 1)
		var own, base, time []side
		depths, inner := []int{}, 0
		for i := range n {
			res, give := fmt.Sprintf("%s.resnets.%d", block, i), fmt.Sprintf("%s.ctrl_to_base.%d", block, i)
			own = append(own, side{res + ".conv1.weight", 0}, side{res + ".conv2.weight", 0}, side{res + ".norm2.weight", 0},
				side{give + ".weight", 1})
			base = append(base, side{give + ".weight", 0}, side{give + ".bias", 0})
			time = append(time, side{res + ".time_emb_proj.weight", 1})
			depths = append(depths, widths(fmt.Sprintf("%s.attentions.%d", block, i), &inner))
		}
		x.Resnets, x.Depth, x.Inner = append(x.Resnets, n), append(x.Depth, depths), append(x.Inner, inner)
		x.Channels, x.Base = append(x.Channels, p.agreed(own...)), append(x.Base, p.agreed(base...))
		if x.TimeDim <= 0 {
			x.TimeDim = p.agreed(time...)
		}
	}
	x.MiddleDepth = widths("mid_block.midblock.attentions.0", &x.MiddleInner)
	return x
}

// xsKind says whether a ControlNet-XS is one for SDXL.
func xsKind(d *ControlXSDims) (Kind, string) {
	version := map[int]string{768: "1.x", 1024: "2.x"}[d.ContextDim]
	if version == "" {
		return KindControlNetXS, ""
	}
	return KindControlNetXS, fmt.Sprintf("not supported: a ControlNet-XS for Stable Diffusion %s (context of %s channels); use one for SDXL",
		version, group(d.ContextDim))
}

// xsOther recognises files with a ControlNet-XS that are not diffusers' adapter; "" if the name is of none.
func xsOther(name string) string {
	switch {
	case strings.HasPrefix(name, "ctrl_conv_in.") || strings.HasSuffix(name, ".ctrl_conv_in.weight"):
		return "not supported: a UNet that a ControlNet-XS was fused into (UNetControlNetXSModel); use the ControlNetXSAdapter itself, beside " +
			"the UNet's own file"
	case strings.Contains(name, "enc_zero_convs_out."), strings.Contains(name, "dec_zero_convs_out."):
		return "not supported: a ControlNet-XS in the layout of its authors' code; use one in diffusers' (ControlNetXSAdapter)"
	}
	return ""
}
