package modelfile

import "fmt"

// maxTransformers caps the transformer blocks of a UNet; SDXL has 70.
const maxTransformers = 2048

// inferUNet reads a UNet's dimensions. Levels, blocks and depths follow from any tensor of them, widths from most.
func inferUNet(p *part) *UNetDims {
	b := p.names()
	first, time, label := b.pick("input_blocks.0.0", "conv_in").file, b.pick("time_embed.0", "time_embedding.linear_1").file,
		b.pick("label_emb.0.0", "add_embedding.linear_1").file
	time2, last := b.pick("time_embed.2", "time_embedding.linear_2").file, b.pick("out.2", "conv_out").file
	u := &UNetDims{
		InChannels:  p.told(first+".weight", 1),
		OutChannels: p.agreed(side{last + ".weight", 0}, side{last + ".bias", 0}),
		TimeDim: p.agreed(side{time + ".weight", 0}, side{time + ".bias", 0}, side{time2 + ".weight", 0}, side{time2 + ".weight", 1},
			side{time2 + ".bias", 0}),
	}
	if p.component == "unet" { // ControlNets have none
		u.GuidanceDim = max(p.dim(guidanceProjection, 1), p.dim(guidanceProjectionOriginal, 1))
	}
	if p.under("label_emb", "add_embedding") {
		u.LabelDim = p.told(label+".weight", 1)
	}
	if b.diffusers {
		u.Resnets = p.levelsByName()
	} else {
		u.Resnets = p.levelsByNumber()
	}
	u.inferDown(p, b)
	u.inferMiddle(p, b)
	u.inferUp(p, b)
	if u.transformers() > maxTransformers {
		u.Channels = nil // no UNet; lacks says so
	}
	return u
}

// levelsByName counts the resnets of each level on the way down in diffusers' layout. The way up, which has one more on each, counts too.
func (p *part) levelsByName() (resnets []int) {
	levels := max(p.numbered("down_blocks", maxLevels), p.numbered("up_blocks", maxLevels), 1)
	last := levels - 1
	if levels < maxLevels && p.under(fmt.Sprintf("down_blocks.%d.downsamplers", last), fmt.Sprintf("up_blocks.%d.upsamplers", last)) {
		levels++
	}
	for l := range levels {
		n := 1
		for _, list := range []string{"resnets", "attentions"} {
			n = max(n, p.numbered(fmt.Sprintf("down_blocks.%d.%s", l, list), maxBlocks),
				p.numbered(fmt.Sprintf("up_blocks.%d.%s", levels-1-l, list), maxBlocks)-1)
		}
		resnets = append(resnets, n)
	}
	return resnets
}

// levelsByNumber is the same for the original layout. Its blocks are numbered across levels; a level ends with a block that changes the
// size.
func (p *part) levelsByNumber() (resnets []int) {
	up := p.levelsUp()
	inputs := p.numbered("input_blocks", maxLevels*maxBlocks)
	downs := 0
	for n := range inputs {
		if p.under(fmt.Sprintf("input_blocks.%d.0.op", n)) {
			downs++
		}
	}
	resnets = []int{0}
	for n := 1; n < inputs; n++ {
		block := fmt.Sprintf("input_blocks.%d", n)
		ends := p.under(block + ".0.op")
		if !p.under(block) && downs+1 < len(up) { // nothing is left of it, and the way up has one level more
			ends = true
			downs++
		}
		switch {
		case ends && len(resnets) < maxLevels:
			resnets = append(resnets, 0)
		case !ends && resnets[len(resnets)-1] < maxBlocks:
			resnets[len(resnets)-1]++
		}
	}
	for len(resnets) < len(up) {
		resnets = append(resnets, 0)
	}
	for l := range resnets {
		resnets[l] = max(resnets[l], 1)
		if len(up) == len(resnets) { // otherwise the end of a level is missing there
			resnets[l] = max(resnets[l], up[l])
		}
	}
	return resnets
}

// levelsUp counts the resnets of each level but the one more that the way up has, in the original layout and by level.
func (p *part) levelsUp() (resnets []int) {
	outputs := p.numbered("output_blocks", maxLevels*maxBlocks)
	count := 0
	for n := range outputs {
		count++
		block := fmt.Sprintf("output_blocks.%d", n)
		if n == outputs-1 || len(resnets) < maxLevels-1 && p.under(block+".1.conv", block+".2.conv") {
			resnets = append([]int{min(count-1, maxBlocks)}, resnets...)
			count = 0
		}
	}
	return resnets
}

// depth counts the transformer blocks of an attention.
func (p *part) depth(attn string) int { return p.numbered(attn+".transformer_blocks", maxBlocks) }

// widthOf are the dimensions of a resnet's tensors that equal the width of its output.
func (b *specs) widthOf(res pair) []side {
	conv1, conv2 := b.resConv1(res).file, b.or(res, ".out_layers.3", ".conv2").file
	norm, time := b.or(res, ".out_layers.0", ".norm2").file, b.or(res, ".emb_layers.1", ".time_emb_proj").file
	return []side{{conv1 + ".weight", 0}, {conv1 + ".bias", 0}, {conv2 + ".weight", 0}, {conv2 + ".bias", 0}, {norm + ".weight", 0},
		{norm + ".bias", 0}, {time + ".weight", 0}, {time + ".bias", 0}}
}

// inferDown reads the widths of the levels, and the depths of the down blocks.
func (u *UNetDims) inferDown(p *part, b *specs) {
	n := 1
	for l, count := range u.Resnets {
		var widths, times []side
		var depths []int
		for i := range count {
			res, attn := b.downNames(l, i, n)
			widths = append(widths, b.widthOf(res)...)
			times = append(times, side{b.or(res, ".emb_layers.1", ".time_emb_proj").file + ".weight", 1})
			depths = append(depths, p.depth(attn.file))
			u.context(p, attn.file)
			n++
		}
		if u.TimeDim == unknown {
			u.TimeDim = p.agreed(times...)
		}
		more := []string{b.downsample(l, n).file}
		if l == 0 {
			more = append(more, b.pick("input_blocks.0.0", "conv_in").file)
		}
		for _, name := range more {
			widths = append(widths, side{name + ".weight", 0}, side{name + ".bias", 0})
		}
		width := p.agreed(widths...)
		u.Channels, u.DownDepth = append(u.Channels, width), append(u.DownDepth, depths)
		n++
	}
}

// inferMiddle reads what the middle has. A second resnet comes after an attention.
func (u *UNetDims) inferMiddle(p *part, b *specs) {
	u.MiddleResnets = 1
	attn := b.pick("middle_block.1", "mid_block.attentions.0").file
	u.MiddleDepth = p.depth(attn)
	u.context(p, attn)
	if u.MiddleDepth > 0 || p.under("mid_block.resnets.1", "middle_block.2", "middle_block.1.in_layers", "middle_block.1.out_layers",
		"middle_block.1.emb_layers") {
		u.MiddleResnets = 2
	}
}

// inferUp reads the depths of the up blocks. If all of a level's down blocks are missing, it reads the level's width from the up blocks.
func (u *UNetDims) inferUp(p *part, b *specs) {
	last, n := len(u.Channels)-1, 0
	u.UpDepth = make([][]int, len(u.Channels))
	for l := last; l >= 0; l-- {
		u.UpDepth[l] = make([]int, u.Resnets[l]+1)
		var widths []side
		for i := range u.UpDepth[l] {
			res, attn := b.upNames(last-l, i, n)
			widths = append(widths, b.widthOf(res)...)
			u.UpDepth[l][i] = p.depth(attn.file)
			u.context(p, attn.file)
			n++
		}
		if u.Channels[l] == unknown {
			u.Channels[l] = p.agreed(widths...)
		}
	}
}

// context reads the width of texts from the first attention that shows it, and whether the projections are convolutions.
func (u *UNetDims) context(p *part, attn string) {
	if u.ContextDim > 0 || p.depth(attn) == 0 {
		return
	}
	var sides []side
	for d := range p.depth(attn) {
		block := fmt.Sprintf("%s.transformer_blocks.%d.attn2", attn, d)
		sides = append(sides, side{block + ".to_k.weight", 1}, side{block + ".to_v.weight", 1})
	}
	if n := p.agreed(sides...); n != unknown {
		u.ContextDim = n
		u.ConvAttention = max(p.dim(attn+".proj_in.weight", 3), p.dim(attn+".proj_out.weight", 3)) > 0
	}
}

// transformers counts all transformer blocks.
func (u *UNetDims) transformers() int {
	n := u.MiddleDepth
	for _, levels := range [][][]int{u.DownDepth, u.UpDepth} {
		for _, level := range levels {
			for _, depth := range level {
				n += depth
			}
		}
	}
	return n
}
