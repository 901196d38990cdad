package modelfile

import "fmt"

func (b *specs) vae(v *VAEDims) {
	if len(v.EncoderChannels) > 0 {
		b.vaeEncoder(v)
	}
	if len(v.DecoderChannels) > 0 {
		b.vaeDecoder(v)
	}
	if v.QuantConv {
		b.conv("quant_conv", RoleWeight, 2*v.LatentChannels, 2*v.LatentChannels, 1)
	}
	if v.PostQuantConv {
		b.conv("post_quant_conv", RoleWeight, v.LatentChannels, v.LatentChannels, 1)
	}
}

// vaeBlock names resnet i of level l (counted in the encoder's order) of a VAE with the given levels.
func (b *specs) vaeBlock(half string, levels, l, i int) string {
	if half == "encoder" {
		return b.pick(fmt.Sprintf("encoder.down.%d.block.%d", l, i), fmt.Sprintf("encoder.down_blocks.%d.resnets.%d", l, i))
	}
	return b.pick(fmt.Sprintf("decoder.up.%d.block.%d", l, i), fmt.Sprintf("decoder.up_blocks.%d.resnets.%d", levels-1-l, i))
}

func (b *specs) vaeEncoder(v *VAEDims) {
	ch, levels := v.EncoderChannels[0], len(v.EncoderChannels)
	b.conv("encoder.conv_in", RoleWeight, 3, ch, 3)
	for l, out := range v.EncoderChannels {
		for i := range v.EncoderResnets {
			b.vaeResnet(b.vaeBlock("encoder", levels, l, i), ch, out)
			ch = out
		}
		if l < levels-1 {
			b.conv(b.pick(fmt.Sprintf("encoder.down.%d.downsample.conv", l), fmt.Sprintf("encoder.down_blocks.%d.downsamplers.0.conv", l)), RoleWeight, ch, ch, 3)
		}
	}
	b.vaeMiddle("encoder", ch)
	b.norm(b.pick("encoder.norm_out", "encoder.conv_norm_out"), ch)
	b.conv("encoder.conv_out", RoleOut, ch, 2*v.LatentChannels, 3)
}

func (b *specs) vaeDecoder(v *VAEDims) {
	levels := len(v.DecoderChannels)
	ch := v.DecoderChannels[levels-1]
	b.conv("decoder.conv_in", RoleWeight, v.LatentChannels, ch, 3)
	b.vaeMiddle("decoder", ch)
	for l := levels - 1; l >= 0; l-- {
		for i := range v.DecoderResnets {
			b.vaeResnet(b.vaeBlock("decoder", levels, l, i), ch, v.DecoderChannels[l])
			ch = v.DecoderChannels[l]
		}
		if l > 0 {
			b.conv(b.pick(fmt.Sprintf("decoder.up.%d.upsample.conv", l), fmt.Sprintf("decoder.up_blocks.%d.upsamplers.0.conv", levels-1-l)), RoleWeight, ch, ch, 3)
		}
	}
	b.norm(b.pick("decoder.norm_out", "decoder.conv_norm_out"), ch)
	b.conv("decoder.conv_out", RoleOut, ch, 3, 3)
}

func (b *specs) vaeResnet(name string, in, out int) {
	b.norm(name+".norm1", in)
	b.conv(name+".conv1", RoleWeight, in, out, 3)
	b.norm(name+".norm2", out)
	b.conv(name+".conv2", RoleResidual, out, out, 3)
	if in != out {
		b.conv(name+b.pick(".nin_shortcut", ".conv_shortcut"), RoleWeight, in, out, 1)
	}
}

// vaeMiddle has one attention head over all channels: 1x1 convolutions originally, matrices in diffusers,
// whose older versions called them query, key, value and proj_attn.
func (b *specs) vaeMiddle(half string, ch int) {
	b.vaeResnet(half+b.pick(".mid.block_1", ".mid_block.resnets.0"), ch, ch)
	if b.diffusers {
		name := half + ".mid_block.attentions.0"
		b.norm(name+".group_norm", ch)
		for i, part := range []string{".to_q", ".to_k", ".to_v", ".to_out.0"} {
			role := RoleWeight
			if i == 3 {
				role = RoleResidual
			}
			old := name + []string{".query", ".key", ".value", ".proj_attn"}[i]
			b.add(name+part+".weight", role, ch, ch).Aliases = []string{old + ".weight"}
			b.add(name+part+".bias", RoleBias, ch).Aliases = []string{old + ".bias"}
		}
	} else {
		name := half + ".mid.attn_1"
		b.norm(name+".norm", ch)
		b.conv(name+".q", RoleWeight, ch, ch, 1)
		b.conv(name+".k", RoleWeight, ch, ch, 1)
		b.conv(name+".v", RoleWeight, ch, ch, 1)
		b.conv(name+".proj_out", RoleResidual, ch, ch, 1)
	}
	b.vaeResnet(half+b.pick(".mid.block_2", ".mid_block.resnets.1"), ch, ch)
}

// clip has transformers' names, which the original layout uses for the first encoder too. They are
// relative to "...text_model.", except the projection, which lies beside text_model.
func (b *specs) clip(t *TextDims, layout Layout) {
	if layout == LayoutOriginal {
		b.add("embeddings.position_ids", RolePositionIDs, 1, t.MaxTokens).Optional = true
	}
	b.add("embeddings.token_embedding.weight", RoleEmbedding, t.VocabSize, t.Width)
	b.add("embeddings.position_embedding.weight", RolePosition, t.MaxTokens, t.Width)
	for i := range t.Layers {
		l := fmt.Sprintf("encoder.layers.%d", i)
		b.norm(l+".layer_norm1", t.Width)
		b.linear(l+".self_attn.q_proj", RoleWeight, t.Width, t.Width)
		b.linear(l+".self_attn.k_proj", RoleWeight, t.Width, t.Width)
		b.linear(l+".self_attn.v_proj", RoleWeight, t.Width, t.Width)
		b.linear(l+".self_attn.out_proj", RoleResidual, t.Width, t.Width)
		b.norm(l+".layer_norm2", t.Width)
		b.linear(l+".mlp.fc1", RoleWeight, t.Width, t.Intermediate)
		b.linear(l+".mlp.fc2", RoleResidual, t.Intermediate, t.Width)
	}
	b.norm("final_layer_norm", t.Width)
	if t.ProjectionDim > 0 {
		b.add(projection, RoleWeight, t.ProjectionDim, t.Width)
	}
}

// projection is the one name of a text encoder that lies beside text_model.
const projection = "text_projection.weight"

// openCLIP has OpenCLIP's names, relative to "...model.": q, k and v in one matrix, and a projection that
// is multiplied from the right.
func (b *specs) openCLIP(t *TextDims) {
	b.add("positional_embedding", RolePosition, t.MaxTokens, t.Width)
	if t.ProjectionDim > 0 {
		b.add("text_projection", RoleWeight, t.Width, t.ProjectionDim)
	}
	b.add("logit_scale", RoleLogitScale).Optional = true
	for i := range t.Layers {
		l := fmt.Sprintf("transformer.resblocks.%d", i)
		b.norm(l+".ln_1", t.Width)
		b.add(l+".attn.in_proj_weight", RoleWeight, 3*t.Width, t.Width)
		b.add(l+".attn.in_proj_bias", RoleBias, 3*t.Width)
		b.linear(l+".attn.out_proj", RoleResidual, t.Width, t.Width)
		b.norm(l+".ln_2", t.Width)
		b.linear(l+".mlp.c_fc", RoleWeight, t.Width, t.Intermediate)
		b.linear(l+".mlp.c_proj", RoleResidual, t.Intermediate, t.Width)
	}
	b.add("token_embedding.weight", RoleEmbedding, t.VocabSize, t.Width)
	b.norm("ln_final", t.Width)
}
