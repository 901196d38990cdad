package modelfile

import (
	"fmt"
	"strings"
)

// T2IAdapterDims describes a T2I-Adapter for SDXL: it turns a control picture into features for the UNet's down blocks and its middle.
type T2IAdapterDims struct {
	Picture  int   `json:"picture_channels"` // 3, or 1 for grey
	Channels []int `json:"channels"`         // of each block's features: 320 640 1280 1280
	Resnets  int   `json:"resnets"`          // in each block: 2
	Kernel   int   `json:"kernel"`           // of the second convolution of a resnet: 1
}

// adapterCell is how many pixels wide and high a cell of an SDXL adapter's first features is. Others have 8.
const adapterCell = 16

// t2iResnets is how many resnets a block has in the original layout, which numbers them through.
const t2iResnets = 2

// adapterNames are tensors that only T2I-Adapters have, with # for every number.
var adapterNames = map[Layout][]string{
	LayoutOriginal: {"body.#.block1.weight", "body.#.block2.weight", "body.#.block1.bias", "body.#.block2.bias",
		"body.#.body.#.block1.weight", "body.#.body.#.block2.weight"}, // the last two of light ones
	LayoutDiffusers: {"body.#.resnets.#.block1.weight", "body.#.resnets.#.block2.weight"},
}

func locateT2I(t *table) *part {
	var best *part
	most := fewest - 1
	for layout, names := range adapterNames {
		for _, prefix := range prefixes["t2i_adapter"] {
			count := 0
			for _, x := range t.bareNames() {
				for _, name := range names {
					if x.numberless == prefix+name {
						count++
					}
				}
			}
			if count > most {
				best, most = &part{component: "controlnet", layout: layout, prefix: prefix}, count
			}
		}
	}
	return best
}

func (a *T2IAdapterDims) lacks() string {
	if a.Picture == 0 || len(a.Channels) < 2 || a.Resnets <= 0 || a.Kernel == 0 {
		return "its first convolution or its blocks"
	}
	return ""
}

// t2iResnet names a resnet of a block.
func (b *specs) t2iResnet(block, i, resnets int) pair {
	return b.pick(fmt.Sprintf("body.%d", block*resnets+i), fmt.Sprintf("body.%d.resnets.%d", block, i))
}

func (a *T2IAdapterDims) specs(b *specs) {
	in := a.Channels[0]
	b.conv(both("conv_in"), RoleWeight, a.Picture*adapterCell*adapterCell, in, 3)
	for block, ch := range a.Channels {
		if ch != in {
			b.conv(b.pick(fmt.Sprintf("body.%d.in_conv", block*a.Resnets), fmt.Sprintf("body.%d.in_conv", block)), RoleWeight, in, ch, 1)
		}
		for i := range a.Resnets {
			r := b.t2iResnet(block, i, a.Resnets)
			b.conv(r.and(".block1"), RoleWeight, ch, ch, 3)
			b.conv(r.and(".block2"), RoleResidual, ch, ch, a.Kernel)
		}
		in = ch
	}
}

// isT2I reports whether a part's tensors are a T2I-Adapter's and not a ControlNet's.
func (p *part) isT2I() bool { return p.under("body") }

func inferT2I(p *part) *T2IAdapterDims {
	a, n := &T2IAdapterDims{Resnets: t2iResnets}, p.names()
	blocks := p.numbered("body", 4*maxBlocks)
	if n.diffusers {
		a.Resnets = max(p.numbered("body.0.resnets", maxBlocks), p.numbered("body.1.resnets", maxBlocks))
	} else {
		blocks = (blocks + t2iResnets - 1) / t2iResnets
	}
	for block := range min(blocks, maxBlocks) {
		var sides []side
		for i := range a.Resnets {
			r := n.t2iResnet(block, i, a.Resnets).file
			sides = append(sides, side{r + ".block1.weight", 0}, side{r + ".block2.weight", 0}, side{r + ".block1.weight", 1})
		}
		a.Channels = append(a.Channels, p.agreed(sides...))
	}
	first := n.t2iResnet(0, 0, a.Resnets).file
	a.Kernel = p.agreed(side{first + ".block2.weight", 2}, side{first + ".block2.weight", 3},
		side{n.t2iResnet(1, 0, a.Resnets).file + ".block2.weight", 2})
	a.Picture = p.told("conv_in.weight", 1)
	if a.Picture > 0 {
		a.Picture /= adapterCell * adapterCell
	}
	return a
}

// t2iKind says whether a T2I-Adapter is one for SDXL.
func t2iKind(p *part) (Kind, string) {
	const sdxl = "; use one for SDXL (full_adapter_xl)"
	inputs := p.told("conv_in.weight", 1)
	switch {
	case p.under("conv_in") && (inputs == 3*8*8 || inputs == 8*8):
		return KindT2IAdapter, "not supported: a T2I-Adapter for Stable Diffusion 1.x (its picture's cells are 8 x 8 pixels)" + sdxl
	case !p.under("conv_in") && p.under("body.0.in_conv"):
		return KindT2IAdapter, "not supported: a light T2I-Adapter, which is for Stable Diffusion 1.x" + sdxl
	case inputs > 0 && inputs != 3*adapterCell*adapterCell && inputs != adapterCell*adapterCell:
		return KindT2IAdapter, fmt.Sprintf("not supported: a T2I-Adapter whose first convolution has %d inputs; SDXL's have 768, or 256 for "+
			"grey pictures", inputs)
	}
	for name := range p.table.tensors {
		if strings.Contains(name, ".down_opt.") {
			return KindT2IAdapter, "not supported: a T2I-Adapter that halves its features by convolutions" + sdxl
		}
	}
	return KindT2IAdapter, ""
}
