package adapters

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// blockBase is the block of all text encoder modules, as the web UI's block weight extension calls it.
const blockBase = "BASE"

// originals returns the original layout's name of each module of a UNet, by its canonical name.
func originals(modules []backend.Module) map[string]string {
	d := modelfile.Dims{UNet: unetDims(modules)}
	if len(d.UNet.Channels) == 0 {
		return nil
	}
	out := map[string]string{}
	for _, s := range d.Specs(lora.UNet, modelfile.LayoutOriginal) {
		for _, c := range s.Canonical {
			if name, ok := strings.CutSuffix(c.Name, ".weight"); ok {
				out[name] = strings.TrimSuffix(s.Name, ".weight")
			}
		}
	}
	return out
}

// unetDims reads off a UNet's modules what its names depend on.
func unetDims(modules []backend.Module) *modelfile.UNetDims {
	known := map[string]backend.Module{}
	for _, m := range modules {
		known[m.Name] = m
	}
	// count counts modules from number 0 on.
	count := func(format string, args ...any) (n int) {
		for {
			if _, ok := known["unet."+fmt.Sprintf(format, append(args, n)...)]; !ok {
				return n
			}
			n++
		}
	}
	depths := func(blocks string, level, resnets int) (out []int) {
		for i := range resnets {
			out = append(out, count("%s.%d.attentions.%d.transformer_blocks.%d.attn1.to_q", blocks, level, i))
		}
		return out
	}
	// Names do not depend on the widths, but specs are made of complete dimensions only.
	u := &modelfile.UNetDims{InChannels: 1, OutChannels: 1, TimeDim: 1, LabelDim: known["unet.add_embedding.linear_1"].In,
		MiddleResnets: count("mid_block.resnets.%d.conv1"), MiddleDepth: count("mid_block.attentions.0.transformer_blocks.%d.attn1.to_q")}
	levels := count("down_blocks.%d.resnets.0.conv1")
	for l := range levels {
		n := count("down_blocks.%d.resnets.%d.conv1", l)
		u.Channels = append(u.Channels, known[fmt.Sprintf("unet.down_blocks.%d.resnets.0.conv1", l)].Out)
		u.Resnets = append(u.Resnets, n)
		u.DownDepth = append(u.DownDepth, depths("down_blocks", l, n))
		u.UpDepth = append(u.UpDepth, depths("up_blocks", levels-1-l, n+1))
	}
	return u
}

// blockName is the short name of an original layout's block: IN04, M00, OUT11; "" for the rest.
func blockName(original string) string {
	head, rest, _ := strings.Cut(original, ".")
	number, _, _ := strings.Cut(rest, ".")
	i, err := strconv.Atoi(number)
	switch {
	case head == "middle_block":
		return "M00"
	case head == "input_blocks" && err == nil:
		return fmt.Sprintf("IN%02d", i)
	case head == "output_blocks" && err == nil:
		return fmt.Sprintf("OUT%02d", i)
	}
	return ""
}
