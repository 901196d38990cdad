package modelfile

import (
	"fmt"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// VAEDims describes an AutoencoderKL. Channels are in the encoder's order for both halves; a half
// without channels is absent.
type VAEDims struct {
	LatentChannels  int   `json:"latent_channels"`
	EncoderChannels []int `json:"encoder_channels"` // 128 256 512 512
	DecoderChannels []int `json:"decoder_channels"`
	EncoderResnets  int   `json:"encoder_resnets"` // per level: 2
	DecoderResnets  int   `json:"decoder_resnets"` // per level: 3
	QuantConv       bool  `json:"quant_conv"`
	PostQuantConv   bool  `json:"post_quant_conv"`
	NoAttention     bool  `json:"no_attention,omitempty"` // in the middle; diffusers' mid_block_add_attention
}

func locateVAE(t *table) *part {
	for _, half := range []string{"decoder", "encoder"} {
		p := probe(t, "vae", prefixes["vae"], half+".mid.block_1.conv1.weight", half+".mid_block.resnets.0.conv1.weight")
		if p != nil {
			return p
		}
	}
	return t.lost("vae", false, prefixes["vae"], LayoutOriginal, LayoutDiffusers)
}

func (v *VAEDims) lacks() string {
	if v.LatentChannels == 0 || len(v.EncoderChannels)+len(v.DecoderChannels) == 0 {
		return "its first convolution or its blocks"
	}
	return ""
}

func (v *VAEDims) specs(b *specs) {
	if len(v.EncoderChannels) > 0 {
		b.vaeEncoder(v)
	}
	if len(v.DecoderChannels) > 0 {
		b.vaeDecoder(v)
	}
	if v.QuantConv {
		b.conv(both("quant_conv"), RoleWeight, 2*v.LatentChannels, 2*v.LatentChannels, 1)
	}
	if v.PostQuantConv {
		b.conv(both("post_quant_conv"), RoleWeight, v.LatentChannels, v.LatentChannels, 1)
	}
}

// vaeBlock names resnet i of level l (counted in the encoder's order) of a VAE with the given levels.
func (b *specs) vaeBlock(half string, levels, l, i int) pair {
	if half == "encoder" {
		return b.pick(fmt.Sprintf("encoder.down.%d.block.%d", l, i), fmt.Sprintf("encoder.down_blocks.%d.resnets.%d", l, i))
	}
	return b.pick(fmt.Sprintf("decoder.up.%d.block.%d", l, i), fmt.Sprintf("decoder.up_blocks.%d.resnets.%d", levels-1-l, i))
}

func (b *specs) vaeEncoder(v *VAEDims) {
	ch, levels := v.EncoderChannels[0], len(v.EncoderChannels)
	b.conv(both("encoder.conv_in"), RoleWeight, 3, ch, 3)
	for l, out := range v.EncoderChannels {
		for i := range v.EncoderResnets {
			b.vaeResnet(b.vaeBlock("encoder", levels, l, i), ch, out)
			ch = out
		}
		if l < levels-1 {
			b.conv(b.pick(fmt.Sprintf("encoder.down.%d.downsample.conv", l), fmt.Sprintf("encoder.down_blocks.%d.downsamplers.0.conv", l)),
				RoleWeight, ch, ch, 3)
		}
	}
	b.vaeMiddle("encoder", ch, !v.NoAttention)
	b.norm(b.pick("encoder.norm_out", "encoder.conv_norm_out"), ch)
	b.conv(both("encoder.conv_out"), RoleOut, ch, 2*v.LatentChannels, 3)
}

func (b *specs) vaeDecoder(v *VAEDims) {
	levels := len(v.DecoderChannels)
	ch := v.DecoderChannels[levels-1]
	b.conv(both("decoder.conv_in"), RoleWeight, v.LatentChannels, ch, 3)
	b.vaeMiddle("decoder", ch, !v.NoAttention)
	for l := levels - 1; l >= 0; l-- {
		for i := range v.DecoderResnets {
			b.vaeResnet(b.vaeBlock("decoder", levels, l, i), ch, v.DecoderChannels[l])
			ch = v.DecoderChannels[l]
		}
		if l > 0 {
			b.conv(b.pick(fmt.Sprintf("decoder.up.%d.upsample.conv", l), fmt.Sprintf("decoder.up_blocks.%d.upsamplers.0.conv", levels-1-l)),
				RoleWeight, ch, ch, 3)
		}
	}
	b.norm(b.pick("decoder.norm_out", "decoder.conv_norm_out"), ch)
	b.conv(both("decoder.conv_out"), RoleOut, ch, 3, 3)
}

func (b *specs) vaeResnet(name pair, in, out int) {
	b.norm(name.and(".norm1"), in)
	b.conv(name.and(".conv1"), RoleWeight, in, out, 3)
	b.norm(name.and(".norm2"), out)
	b.conv(name.and(".conv2"), RoleResidual, out, out, 3)
	if in != out {
		b.conv(b.or(name, ".nin_shortcut", ".conv_shortcut"), RoleWeight, in, out, 1)
	}
}

// vaeMiddle has one attention head over all channels: 1x1 convolutions originally, matrices in diffusers,
// whose older versions called them query, key, value and proj_attn.
func (b *specs) vaeMiddle(half string, ch int, attention bool) {
	b.vaeResnet(b.or(both(half), ".mid.block_1", ".mid_block.resnets.0"), ch, ch)
	if attention {
		b.vaeAttention(half, ch)
	}
	b.vaeResnet(b.or(both(half), ".mid.block_2", ".mid_block.resnets.1"), ch, ch)
}

func (b *specs) vaeAttention(half string, ch int) {
	name := b.or(both(half), ".mid.attn_1", ".mid_block.attentions.0")
	b.norm(b.or(name, ".norm", ".group_norm"), ch)
	for _, m := range [][3]string{{".q", ".to_q", ".query"}, {".k", ".to_k", ".key"}, {".v", ".to_v", ".value"},
		{".proj_out", ".to_out.0", ".proj_attn"}} {
		role := RoleWeight
		if m[0] == ".proj_out" {
			role = RoleResidual
		}
		if b.diffusers {
			b.matrix(b.or(name, m[0], m[1]), role, backend.UseSensitive, ch, ch)
			b.also(name.file + m[2])
		} else {
			b.pointwise(b.or(name, m[0], m[1]), role, backend.UseSensitive, ch, ch)
		}
	}
}

func inferVAE(p *part) *VAEDims {
	b := p.names()
	v := &VAEDims{QuantConv: p.under("quant_conv"), PostQuantConv: p.under("post_quant_conv"), NoAttention: !p.vaeAttends()}
	v.LatentChannels = p.agreed(side{"decoder.conv_in.weight", 1}, side{"post_quant_conv.weight", 0}, side{"post_quant_conv.weight", 1},
		side{"post_quant_conv.bias", 0})
	if v.LatentChannels == unknown { // mean and log variance
		moments := p.agreed(side{"encoder.conv_out.weight", 0}, side{"encoder.conv_out.bias", 0}, side{"quant_conv.weight", 0},
			side{"quant_conv.bias", 0})
		if moments != unknown {
			v.LatentChannels = moments / 2
		}
	}
	down, up := b.pick("down", "down_blocks").file, b.pick("up", "up_blocks").file
	levels := max(1, p.numbered("encoder."+down, maxLevels), p.numbered("decoder."+up, maxLevels)) // both halves have as many
	v.EncoderChannels, v.EncoderResnets = p.vaeHalf(b, levels, "encoder", down)
	v.DecoderChannels, v.DecoderResnets = p.vaeHalf(b, levels, "decoder", up)
	if len(v.EncoderChannels) > 0 && len(v.DecoderChannels) > 0 && (v.QuantConv || v.PostQuantConv) { // none has one of them alone
		v.QuantConv, v.PostQuantConv = true, true
	}
	return v
}

// vaeHalf reads the widths of a half's levels and their numbers of resnets; nil if the file has nothing of the half.
func (p *part) vaeHalf(b *specs, levels int, half, list string) (channels []int, resnets int) {
	if !p.under(half) {
		return nil, 0
	}
	blocks := b.pick("block", "resnets").file
	for l := range levels {
		resnets = max(resnets, 1, p.numbered(fmt.Sprintf("%s.%s.%d.%s", half, list, l, blocks), maxBlocks))
	}
	for l := range levels {
		var sides []side
		for i := range resnets {
			name := b.vaeBlock(half, levels, l, i).file
			for _, tail := range []string{".conv1.weight", ".conv1.bias", ".conv2.weight", ".conv2.bias", ".norm2.weight", ".norm2.bias"} {
				sides = append(sides, side{name + tail, 0})
			}
		}
		channels = append(channels, p.agreed(sides...))
	}
	return channels, resnets
}
