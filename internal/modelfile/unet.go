package modelfile

import (
	"fmt"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// UNetDims describes an SDXL UNet. Levels are counted from the highest resolution.
type UNetDims struct {
	InChannels    int     `json:"in_channels"` // 4; 9 for inpainting
	OutChannels   int     `json:"out_channels"`
	Channels      []int   `json:"channels"`               // per level: 320 640 1280
	Resnets       []int   `json:"resnets"`                // per level on the way down; one more on the way up
	DownDepth     [][]int `json:"down_depth"`             // transformer blocks behind each resnet; 0: no attention
	UpDepth       [][]int `json:"up_depth"`               // the same on the way up, by level (not by order of execution)
	MiddleResnets int     `json:"middle_resnets"`         // 2
	MiddleDepth   int     `json:"middle_depth"`           // 0: no attention
	ContextDim    int     `json:"context_dim"`            // 2048
	LabelDim      int     `json:"label_dim,omitempty"`    // pooled + 256 x size ids; 0: no label embedding (SD 1.x, 2.x)
	TimeDim       int     `json:"time_dim"`               // of the time embedding: 4 x channels[0]
	GuidanceDim   int     `json:"guidance_dim,omitempty"` // of the embedding of the guidance scale (LCM: time_cond_proj_dim); 0: none
	ConvAttention bool    `json:"conv_proj,omitempty"`    // proj_in and proj_out are 1x1 convolutions (SD 1.x)
}

// The projection of the guidance scale's embedding. The original layout has no name for it. diffusers' scripts keep diffusers' name; some
// programs write a name in the layout's style.
const (
	guidanceProjection         = "time_embedding.cond_proj.weight"
	guidanceProjectionOriginal = "time_embed.cond_proj.weight"
)

// checkGuidance makes sure that a UNet has an embedding of the guidance scale if its configuration says so.
func checkGuidance(p *part, d Dims, c Config) error {
	want := c.UNet.TimeCondProjDim
	if p.component != "unet" || want == 0 || want == d.UNet.GuidanceDim {
		return nil
	}
	e := &Error{Kind: ErrTensor, Path: p.fileOf(""), Field: tensorField(p.prefix + guidanceProjection),
		Found: "missing, and the configuration has a time_cond_proj_dim of " + group(want), Remedy: "download or convert the file again"}
	if d.UNet.GuidanceDim > 0 {
		e.Found = fmt.Sprintf("takes %d numbers, and the configuration has a time_cond_proj_dim of %d", d.UNet.GuidanceDim, want)
	}
	return e
}

func locateUNet(t *table) *part {
	if p := probe(t, "unet", prefixes["unet"], "input_blocks.0.0.weight", "down_blocks.0.resnets.0.conv1.weight"); p != nil {
		return p
	}
	return t.lost("unet", false, prefixes["unet"], LayoutOriginal, LayoutDiffusers)
}

func (u *UNetDims) lacks() string {
	switch {
	case u.InChannels == 0:
		return "its first convolution"
	case u.OutChannels == 0:
		return "its last convolution"
	case u.TimeDim == 0:
		return "its time embedding"
	case len(u.Channels) == 0:
		return "its blocks on the way down"
	}
	return ""
}

// Names inside the UNet. n counts input or output blocks from 0 as the original layout does.
func (b *specs) downNames(l, i, n int) (res, attn pair) {
	return b.pick(fmt.Sprintf("input_blocks.%d.0", n), fmt.Sprintf("down_blocks.%d.resnets.%d", l, i)),
		b.pick(fmt.Sprintf("input_blocks.%d.1", n), fmt.Sprintf("down_blocks.%d.attentions.%d", l, i))
}

func (b *specs) downsample(l, n int) pair {
	return b.pick(fmt.Sprintf("input_blocks.%d.0.op", n), fmt.Sprintf("down_blocks.%d.downsamplers.0.conv", l))
}

func (b *specs) upNames(k, i, n int) (res, attn pair) {
	return b.pick(fmt.Sprintf("output_blocks.%d.0", n), fmt.Sprintf("up_blocks.%d.resnets.%d", k, i)),
		b.pick(fmt.Sprintf("output_blocks.%d.1", n), fmt.Sprintf("up_blocks.%d.attentions.%d", k, i))
}

func (b *specs) resConv1(res pair) pair { return b.or(res, ".in_layers.2", ".conv1") }

func (b *specs) resnet(name pair, in, out, time int) {
	b.norm(b.or(name, ".in_layers.0", ".norm1"), in)
	b.conv(b.resConv1(name), RoleWeight, in, out, 3)
	b.sensitive(b.or(name, ".emb_layers.1", ".time_emb_proj"), time, out)
	b.norm(b.or(name, ".out_layers.0", ".norm2"), out)
	b.conv(b.or(name, ".out_layers.3", ".conv2"), RoleResidual, out, out, 3)
	if in != out {
		b.conv(b.or(name, ".skip_connection", ".conv_shortcut"), RoleWeight, in, out, 1)
	}
}

// transformer is SpatialTransformer / Transformer2DModel; its inner names are the same in both layouts.
func (b *specs) transformer(name pair, u *UNetDims, ch, depth int) {
	b.norm(name.and(".norm"), ch)
	proj := func(part string, role Role) {
		if u.ConvAttention {
			b.pointwise(name.and(part), role, backend.UseMatrix, ch, ch)
		} else {
			b.linear(name.and(part), role, ch, ch)
		}
	}
	proj(".proj_in", RoleWeight)
	for d := range depth {
		t := name.and(fmt.Sprintf(".transformer_blocks.%d", d))
		for attn, context := range []int{ch, u.ContextDim} {
			a := t.and(fmt.Sprintf(".attn%d", attn+1))
			b.add(a.and(".to_q.weight"), RoleWeight, backend.UseMatrix, ch, ch)
			b.add(a.and(".to_k.weight"), RoleWeight, backend.UseMatrix, ch, context)
			b.add(a.and(".to_v.weight"), RoleWeight, backend.UseMatrix, ch, context)
			b.linear(a.and(".to_out.0"), RoleResidual, ch, ch)
		}
		b.linear(t.and(".ff.net.0.proj"), RoleWeight, ch, 8*ch) // GEGLU: value and gate
		b.linear(t.and(".ff.net.2"), RoleResidual, 4*ch, ch)
		b.norm(t.and(".norm1"), ch)
		b.norm(t.and(".norm2"), ch)
		b.norm(t.and(".norm3"), ch)
	}
	proj(".proj_out", RoleResidual)
}

func (u *UNetDims) specs(b *specs) {
	last := len(u.Channels) - 1
	ch, skips := b.unetDown(u)
	b.middle(u, ch)
	n := 0
	for l := last; l >= 0; l-- {
		for i := range u.Resnets[l] + 1 {
			res, attn := b.upNames(last-l, i, n)
			skip := skips[len(skips)-1]
			skips = skips[:len(skips)-1]
			b.resnet(res, ch+skip, u.Channels[l], u.TimeDim)
			ch = u.Channels[l]
			up := 1
			if depth := u.UpDepth[l][i]; depth > 0 {
				b.transformer(attn, u, ch, depth)
				up = 2
			}
			if i == u.Resnets[l] && l > 0 {
				b.conv(b.pick(fmt.Sprintf("output_blocks.%d.%d.conv", n, up), fmt.Sprintf("up_blocks.%d.upsamplers.0.conv", last-l)),
					RoleWeight, ch, ch, 3)
			}
			n++
		}
	}
	b.norm(b.pick("out.0", "conv_norm_out"), ch)
	b.conv(b.pick("out.2", "conv_out"), RoleOut, ch, u.OutChannels, 3)
}

// unetDown is everything before the middle. It returns the channels at its end and of every skip connection.
func (b *specs) unetDown(u *UNetDims) (ch int, skips []int) {
	base, last := u.Channels[0], len(u.Channels)-1
	b.sensitive(b.pick("time_embed.0", "time_embedding.linear_1"), base, u.TimeDim)
	b.sensitive(b.pick("time_embed.2", "time_embedding.linear_2"), u.TimeDim, u.TimeDim)
	if u.GuidanceDim > 0 {
		b.add(both(guidanceProjection), RoleWeight, backend.UseSensitive, base, u.GuidanceDim).aliases = []string{guidanceProjectionOriginal}
	}
	if u.LabelDim != 0 {
		b.sensitive(b.pick("label_emb.0.0", "add_embedding.linear_1"), u.LabelDim, u.TimeDim)
		b.sensitive(b.pick("label_emb.0.2", "add_embedding.linear_2"), u.TimeDim, u.TimeDim)
	}
	b.conv(b.pick("input_blocks.0.0", "conv_in"), RoleWeight, u.InChannels, base, 3)
	n := 1
	ch, skips = base, []int{base}
	for l, out := range u.Channels {
		for i := range u.Resnets[l] {
			res, attn := b.downNames(l, i, n)
			b.resnet(res, ch, out, u.TimeDim)
			ch = out
			if depth := u.DownDepth[l][i]; depth > 0 {
				b.transformer(attn, u, ch, depth)
			}
			skips = append(skips, ch)
			n++
		}
		if l < last {
			b.conv(b.downsample(l, n), RoleWeight, ch, ch, 3)
			skips = append(skips, ch)
			n++
		}
	}
	return ch, skips
}

func (b *specs) middle(u *UNetDims, ch int) {
	b.resnet(b.pick("middle_block.0", "mid_block.resnets.0"), ch, ch, u.TimeDim)
	next := 1
	if u.MiddleDepth > 0 {
		b.transformer(b.pick("middle_block.1", "mid_block.attentions.0"), u, ch, u.MiddleDepth)
		next = 2
	}
	if u.MiddleResnets > 1 {
		b.resnet(b.pick(fmt.Sprintf("middle_block.%d", next), "mid_block.resnets.1"), ch, ch, u.TimeDim)
	}
}
