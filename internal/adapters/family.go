package adapters

import (
	"fmt"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// foreignMarks are parts of tensor names, dots as underscores, that no SDXL adapter has, the more telling families first.
var foreignMarks = []struct {
	family string
	marks  []string
}{
	{"Flux", []string{"single_transformer_blocks_", "single_blocks_", "double_blocks_"}},
	{"Stable Diffusion 3", []string{"joint_blocks_", "lora_te3_", "text_encoder_3_", "attn_add_q_proj"}},
	{"Stable Cascade", []string{"lora_prior_"}},
	{"a diffusion transformer", []string{"lora_transformer_", "diffusion_model_blocks_", "diffusion_model_layers_", "lora_unet_blocks_",
		"transformer_transformer_blocks_"}},
}

// contextFamilies tells models by the width of the text context that their cross-attention reads.
var contextFamilies = map[int64]string{768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 1280: "the SDXL refiner",
	2048: "SDXL base"}

// foreign returns the family of models that a file's names say it is for, where that is none of SDXL's; "" otherwise.
func foreign(f *modelfile.File) string {
	for _, m := range foreignMarks {
		for _, t := range f.Tensors {
			name := flatten(t.Name)
			if slices.ContainsFunc(m.marks, func(mark string) bool { return strings.Contains(name, mark) }) {
				return m.family
			}
		}
	}
	return ""
}

// contextWidth is the width of the text context that the file's adapters of cross-attention read; 0 where none tells.
func contextWidth(f *modelfile.File) int64 {
	for _, t := range f.Tensors {
		base, s, ok := splitKey(t.Name)
		if !ok || len(t.Shape) < 2 || s.part != partDown && s.part != partHadaW1B {
			continue
		}
		if name := flatten(base); strings.HasSuffix(name, "attn2_to_k") || strings.HasSuffix(name, "attn2_to_v") ||
			strings.HasSuffix(name, "attn2_processor_to_k") || strings.HasSuffix(name, "attn2_processor_to_v") {
			return t.Shape[1]
		}
	}
	return 0
}

// checkModel refuses an adapter for another kind of model than the index is of, where anything says so.
func checkModel(f *modelfile.File, x *index) {
	if family := foreign(f); family != "" {
		panic(fail(lora.ErrWrongModel, "", "is made for %s; this model is an SDXL one", family))
	}
	have, want := contextWidth(f), int64(0)
	for name, m := range x.modules {
		if strings.HasSuffix(name, ".attn2.to_k") {
			want = int64(m.In)
			break
		}
	}
	if have != 0 && want != 0 && have != want {
		panic(fail(lora.ErrWrongModel, "", "is made for %s, whose cross-attention reads %d channels; this model's (%s) reads %d",
			familyOfContext(have), have, familyOfContext(want), want))
	}
}

func familyOfContext(width int64) string {
	if family, ok := contextFamilies[width]; ok {
		return family
	}
	return fmt.Sprintf("a model of other dimensions than SDXL's (context of %d)", width)
}
