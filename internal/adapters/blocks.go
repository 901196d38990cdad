package adapters

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// blockBase is the block of all text encoder modules, as the web UI's block weight extension calls it.
const blockBase = "BASE"

// numbering counts a UNet's blocks as the original layout does: input_blocks and output_blocks, resnets and
// downsamplers in the order of the computation.
type numbering struct {
	input  map[string]int // "0.1": level 0, resnet 1 -> input block; "0.d": its downsampler
	output map[string]int // "0.1" -> output block; "0.u": the one its upsampler is in
	attend map[string]bool
	middle bool // the middle has an attention
}

// numberBlocks reads the numbering off the names of a UNet's modules.
func numberBlocks(modules []backend.Module) *numbering {
	n := &numbering{input: map[string]int{}, output: map[string]int{}, attend: map[string]bool{}}
	has := map[string]bool{}
	for _, m := range modules {
		parts := strings.SplitN(m.Name, ".", 6)
		if parts[0] != lora.UNet || len(parts) < 5 {
			continue
		}
		has[strings.Join(parts[1:5], ".")] = true
		n.middle = n.middle || strings.HasPrefix(m.Name, "unet.mid_block.attentions.0.")
	}
	at := 1
	for level := 0; has[fmt.Sprintf("down_blocks.%d.resnets.0", level)]; level++ {
		for i := 0; has[fmt.Sprintf("down_blocks.%d.resnets.%d", level, i)]; i++ {
			n.input[fmt.Sprintf("%d.%d", level, i)] = at
			at++
		}
		if has[fmt.Sprintf("down_blocks.%d.downsamplers.0", level)] {
			n.input[fmt.Sprintf("%d.d", level)] = at
			at++
		}
	}
	at = 0
	for level := 0; has[fmt.Sprintf("up_blocks.%d.resnets.0", level)]; level++ {
		for i := 0; has[fmt.Sprintf("up_blocks.%d.resnets.%d", level, i)]; i++ {
			n.output[fmt.Sprintf("%d.%d", level, i)] = at
			n.output[fmt.Sprintf("%d.u", level)] = at
			n.attend[fmt.Sprintf("%d.u", level)] = has[fmt.Sprintf("up_blocks.%d.attentions.%d", level, i)]
			at++
		}
	}
	return n
}

// resnetParts and unetEnds are diffusers' names and the original layout's.
var (
	resnetParts = strings.NewReplacer("norm1", "in_layers.0", "conv1", "in_layers.2", "time_emb_proj", "emb_layers.1",
		"norm2", "out_layers.0", "conv2", "out_layers.3", "conv_shortcut", "skip_connection")
	unetEnds = map[string]string{"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
		"add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
		"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}
)

// original returns the original layout's name of a UNet module, given without "unet."; "" where it has none.
func (n *numbering) original(name string) string {
	if end, ok := unetEnds[name]; ok {
		return end
	}
	if rest, ok := strings.CutPrefix(name, "mid_block."); ok {
		kind, rest, _ := strings.Cut(rest, ".")
		i, rest, _ := strings.Cut(rest, ".")
		switch {
		case kind == "attentions":
			return "middle_block.1." + rest
		case i == "0":
			return "middle_block.0." + resnetParts.Replace(rest)
		case n.middle:
			return "middle_block.2." + resnetParts.Replace(rest)
		}
		return "middle_block.1." + resnetParts.Replace(rest)
	}
	parts := strings.SplitN(name, ".", 5)
	if len(parts) < 5 {
		return ""
	}
	level, kind, i, rest := parts[1], parts[2], parts[3], parts[4]
	blocks, numbers := "input_blocks", n.input
	if parts[0] == "up_blocks" {
		blocks, numbers = "output_blocks", n.output
	}
	switch kind {
	case "resnets":
		return fmt.Sprintf("%s.%d.0.%s", blocks, numbers[level+"."+i], resnetParts.Replace(rest))
	case "attentions":
		return fmt.Sprintf("%s.%d.1.%s", blocks, numbers[level+"."+i], rest)
	case "downsamplers":
		return fmt.Sprintf("%s.%d.0.op", blocks, numbers[level+".d"])
	case "upsamplers":
		if n.attend[level+".u"] {
			return fmt.Sprintf("%s.%d.2.conv", blocks, numbers[level+".u"])
		}
		return fmt.Sprintf("%s.%d.1.conv", blocks, numbers[level+".u"])
	}
	return ""
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
