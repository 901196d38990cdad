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
	if t.has("encoder.layers.0.weight") || t.has("decoder.layers.0.weight") {
		return &part{component: "taesd", layout: LayoutDiffusers}
	}
	switch {
	case t.has("1.weight") && t.has("3.conv.0.weight"):
		return t.bareTAESD("decoder")
	case t.has("1.conv.0.weight") && t.has("0.weight"):
		return t.bareTAESD("encoder")
	}
	return nil
}

func seekTAESD(t *table) *part {
	if side := t.bareHalf(); side != "" {
		return t.bareTAESD(side)
	}
	return t.lost("taesd", true, []string{""}, LayoutDiffusers)
}

// bareTAESD is one half in the original layout.
func (t *table) bareTAESD(side string) *part {
	first := map[string]int{"encoder": 0, "decoder": 1}[side]
	t.rename(func(name string) string {
		number, rest, _ := strings.Cut(name, ".")
		if n, err := strconv.Atoi(number); err == nil {
			return fmt.Sprintf("%s.layers.%d.%s", side, n-first, rest)
		}
		return name
	}, func(name string) string {
		number, rest, _ := strings.Cut(strings.TrimPrefix(name, side+".layers."), ".")
		n, _ := strconv.Atoi(number)
		return fmt.Sprintf("%d.%s", n+first, rest)
	})
	return &part{component: "taesd", layout: LayoutOriginal}
}

// bareHalf tells which half has the original layout's bare numbers: some numbers occur in one half only. "": it is no TAESD. One tensor may
// be missing.
func (t *table) bareHalf() string {
	encoder, decoder := 0, 0
	for name := range t.tensors {
		switch numberless(name) {
		case "#.weight", "#.bias", "#.conv.#.weight", "#.conv.#.bias":
		default:
			continue
		}
		switch number, rest, _ := strings.Cut(name, "."); {
		case number == "0" || number == "2" || number == "1" && strings.HasPrefix(rest, "conv."):
			encoder++
		case number == "1" || number == "3" && strings.HasPrefix(rest, "conv."):
			decoder++
		}
	}
	switch {
	case encoder >= fewest && encoder > decoder-6: // its place 3 is a block too, of six tensors
		return "encoder"
	case decoder >= fewest:
		return "decoder"
	}
	return ""
}

func (t *TAESDDims) lacks() string {
	if t.Channels == 0 || t.LatentChannels == 0 || len(t.EncoderBlocks)+len(t.DecoderBlocks) == 0 {
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
	t := &TAESDDims{EncoderBlocks: p.tinyBlocks("encoder"), DecoderBlocks: p.tinyBlocks("decoder")}
	var widths, latents []side
	for _, s := range []string{"encoder", "decoder"} {
		last := p.numbered(s+".layers", 2*maxBlocks) - 1
		for i := range last + 1 {
			name := fmt.Sprintf("%s.layers.%d", s, i)
			if i < last {
				widths = append(widths, side{name + ".weight", 0}, side{name + ".bias", 0})
			}
			widths = append(widths, side{name + ".conv.0.weight", 0}, side{name + ".conv.2.weight", 0}, side{name + ".conv.4.weight", 0})
		}
		if s == "encoder" {
			name := fmt.Sprintf("encoder.layers.%d", last)
			latents = append(latents, side{name + ".weight", 0}, side{name + ".bias", 0})
		}
	}
	t.Channels, t.LatentChannels = p.agreed(widths...), p.agreed(append(latents, side{"decoder.layers.0.weight", 1})...)
	return t
}

// tinyBlocks counts the blocks of each level of a half; nil if the file has nothing of the half. A number is a block if it has parts,
// otherwise a convolution. In the decoder, a number without tensors before a convolution doubles the size.
func (p *part) tinyBlocks(half string) (blocks []int) {
	layers := p.numbered(half+".layers", 2*maxBlocks)
	if layers == 0 {
		return nil
	}
	at := func(i int) string { return fmt.Sprintf("%s.layers.%d", half, i) }
	block := func(i int) bool { return p.under(at(i) + ".conv") }
	first := 1
	if half == "decoder" {
		first = 2 // after a ReLU
	}
	blocks = []int{0}
	for i := first; i < layers-1; i++ {
		switch resamples := !block(i); {
		case half == "encoder" && resamples:
			blocks = append(blocks, 0)
		case half == "decoder" && resamples && i+1 < layers-1 && !block(i+1):
			blocks = append(blocks, 0)
			i++ // the convolution
		default:
			blocks[len(blocks)-1]++
		}
	}
	return blocks
}
