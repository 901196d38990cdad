package modelfile

import (
	"fmt"
	"strconv"
	"strings"
)

// TAESDDims describes a tiny autoencoder; a half without blocks is absent.
type TAESDDims struct {
	LatentChannels int   `json:"latent_channels"` // 4
	Channels       int   `json:"channels"`        // 64
	EncoderBlocks  []int `json:"encoder_blocks"`  // per level from the picture's side: 1 3 3 3
	DecoderBlocks  []int `json:"decoder_blocks"`  // per level from the latents' side: 3 3 3 1
}

// locateTAESD finds diffusers' AutoencoderTiny, or one half in the original layout, whose layers are bare numbers. There the decoder
// has a layer without weights at place 0.
func locateTAESD(t *table) *part {
	side, first := "encoder.layers.", 0
	switch {
	case t.has("encoder.layers.0.weight") || t.has("decoder.layers.0.weight"):
		return &part{component: "taesd", layout: LayoutDiffusers}
	case t.has("1.weight") && t.has("3.conv.0.weight"):
		side, first = "decoder.layers.", 1
	case !t.has("1.conv.0.weight") || !t.has("0.weight"):
		return nil
	}
	t.rename(func(name string) string {
		number, rest, _ := strings.Cut(name, ".")
		if n, err := strconv.Atoi(number); err == nil {
			return fmt.Sprintf("%s%d.%s", side, n-first, rest)
		}
		return name
	})
	return &part{component: "taesd", layout: LayoutOriginal}
}

func (t *TAESDDims) lacks() string {
	if t.Channels <= 0 || t.LatentChannels <= 0 || len(t.EncoderBlocks)+len(t.DecoderBlocks) == 0 {
		return "its first convolution or its blocks"
	}
	return ""
}

// specs has diffusers' names in both layouts.
func (t *TAESDDims) specs(b *specs) {
	if len(t.EncoderBlocks) > 0 {
		t.half(b, "encoder", t.EncoderBlocks, 3, t.LatentChannels)
	}
	if len(t.DecoderBlocks) > 0 {
		t.half(b, "decoder", t.DecoderBlocks, t.LatentChannels, 3)
	}
}

func (t *TAESDDims) half(b *specs, side string, blocks []int, in, out int) {
	n := 0
	name := func() pair { n++; return both(fmt.Sprintf("%s.layers.%d", side, n-1)) }
	resample := func() { // a convolution without a bias
		b.conv(name(), RoleWeight, t.Channels, t.Channels, 3)
		b.list = b.list[:len(b.list)-1]
	}
	b.conv(name(), RoleWeight, in, t.Channels, 3)
	if side == "decoder" {
		n++ // ReLU
	}
	for l, count := range blocks {
		if side == "encoder" && l > 0 {
			resample()
		}
		for range count {
			block := name()
			b.conv(block.and(".conv.0"), RoleWeight, t.Channels, t.Channels, 3)
			b.conv(block.and(".conv.2"), RoleWeight, t.Channels, t.Channels, 3)
			b.conv(block.and(".conv.4"), RoleResidual, t.Channels, t.Channels, 3)
		}
		if side == "decoder" && l+1 < len(blocks) {
			n++ // twice as large
			resample()
		}
	}
	b.conv(name(), RoleOut, t.Channels, out, 3)
}

// inferTAESD counts the blocks between the convolutions that change the size.
func inferTAESD(p *part) *TAESDDims {
	t := &TAESDDims{}
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
