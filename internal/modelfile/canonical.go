package modelfile

import (
	"fmt"
	"strings"
)

// CanonicalPart is a tensor under the name that adapters and the backend know it by: diffusers', with the component, and for text
// encoders "text_model.", before it. OpenCLIP's files keep q, k and v in one tensor, and one projection transposed.
type CanonicalPart struct {
	Name        string // "unet.conv_in.weight", "text_encoder_2.text_model.encoder.layers.0.self_attn.q_proj.bias"
	Part, Parts int    // it is the Part-th of so many equal runs of rows
	Transpose   bool   // the file holds its transpose
}

// CanonicalTensor is the canonical name of a tensor of diffusers' layout, as Specs lists them.
func CanonicalTensor(component, name string) string {
	if strings.HasPrefix(component, "text_encoder") && name != projection {
		name = "text_model." + name
	}
	return component + "." + name
}

// canonicalNames maps a component's tensors, in the layout of its file and by the names of Specs, to canonical ones. A tensor that
// computing does not need has none.
func (d Dims) canonicalNames(component string, layout Layout) map[string][]CanonicalPart {
	required := func(l Layout) (out []Spec) {
		for _, s := range d.Specs(component, l) {
			if !s.Optional {
				out = append(out, s)
			}
		}
		return out
	}
	out := map[string][]CanonicalPart{}
	if component == "text_encoder_2" && layout == LayoutOriginal {
		for _, s := range required(layout) {
			out[s.Name] = openCLIPParts(s.Name)
		}
		return out
	}
	theirs := required(LayoutDiffusers)
	for i, s := range required(layout) { // both layouts list the same tensors in the same order
		out[s.Name] = []CanonicalPart{{Name: CanonicalTensor(component, theirs[i].Name), Parts: 1}}
	}
	return out
}

// openCLIPNames are OpenCLIP's names within a layer and transformers'.
var openCLIPNames = strings.NewReplacer("ln_1.", "layer_norm1.", "ln_2.", "layer_norm2.", "attn.out_proj.", "self_attn.out_proj.",
	"mlp.c_fc.", "mlp.fc1.", "mlp.c_proj.", "mlp.fc2.")

func openCLIPParts(name string) []CanonicalPart {
	one := func(name string) []CanonicalPart {
		return []CanonicalPart{{Name: CanonicalTensor("text_encoder_2", name), Parts: 1}}
	}
	switch name {
	case "text_projection":
		return []CanonicalPart{{Name: CanonicalTensor("text_encoder_2", projection), Parts: 1, Transpose: true}}
	case "positional_embedding":
		return one("embeddings.position_embedding.weight")
	case "token_embedding.weight":
		return one("embeddings.token_embedding.weight")
	}
	if kind, ok := strings.CutPrefix(name, "ln_final."); ok {
		return one("final_layer_norm." + kind)
	}
	layer, rest, _ := strings.Cut(strings.TrimPrefix(name, "transformer.resblocks."), ".")
	base := "encoder.layers." + layer + "."
	kind, fused := strings.CutPrefix(rest, "attn.in_proj_")
	if !fused {
		return one(base + openCLIPNames.Replace(rest))
	}
	var parts []CanonicalPart
	for i, p := range []string{"q", "k", "v"} {
		parts = append(parts, CanonicalPart{Name: CanonicalTensor("text_encoder_2", fmt.Sprintf("%sself_attn.%s_proj.%s", base, p, kind)), Part: i, Parts: 3})
	}
	return parts
}
