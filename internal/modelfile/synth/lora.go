package synth

import (
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
)

// DefaultRank is the rank of an adapter where Options do not say; maxRank is that of the narrowest modules worth adapting.
const (
	DefaultRank = 32
	maxRank     = 640
)

// isLoRA reports whether a kind is an adapter.
func (k Kind) isLoRA() bool { return k == KindSDXLLoRA || k == KindNanoLoRA }

// adapter lists the tensors of a LoRA for every linear module of the UNet's attentions (722 of SDXL's), which is what
// training programs make unless told otherwise: down, up and alpha by kohya's names, or lora_A and lora_B by diffusers'.
func (p *plan) adapter() []item {
	var list []item
	rank := int64(p.opt.Rank)
	for _, s := range p.dims.Specs("unet", modelfile.LayoutDiffusers) {
		module, ok := strings.CutSuffix(s.Name, ".weight")
		if !ok || len(s.Shape) != 2 || !strings.Contains(module, ".attentions.") {
			continue
		}
		names := [3]string{"unet." + module + ".lora_A.weight", "unet." + module + ".lora_B.weight"}
		if p.opt.Layout == modelfile.LayoutOriginal {
			base := "lora_unet_" + strings.ReplaceAll(module, ".", "_")
			names = [3]string{base + ".lora_down.weight", base + ".lora_up.weight", base + ".alpha"}
		}
		shapes := [3][]int64{{rank, s.Shape[1]}, {s.Shape[0], rank}, {}}
		roles := [3]modelfile.Role{modelfile.RoleWeight, modelfile.RoleResidual, modelfile.RoleLogitScale}
		for i, name := range names {
			if name == "" {
				continue
			}
			it := item{Spec: modelfile.Spec{Component: "unet", Name: name, Shape: shapes[i], Role: roles[i]}, full: name, dtype: p.opt.Type,
				key: hash("lora:" + module + string(rune('0'+i)))}
			it.size, _ = it.dtype.Bytes(elements(it.Shape), 1)
			list = append(list, it)
		}
	}
	return list
}
