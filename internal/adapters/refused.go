package adapters

import (
	"fmt"
	"strings"
)

// refused has known ends of tensor names, and the reason why such tensors cannot be applied.
var refused = map[string]string{
	".oft_diag":       "OFT of vectors",
	".set_weight":     "a whole weight instead of a change of one",
	".reshape_weight": "a reshaped weight",
}

// foreignAlgorithms are algorithms that are not read, by the beginning of a part of a tensor's name. They are PEFT's if nothing else is
// said.
var foreignAlgorithms = []struct{ begins, algorithm string }{
	{"vera_", "VeRA"}, {"pvera_", "PVeRA"}, {"hra_u", "HRA"}, {"ln_tuning_layers", "LN-tuning"}, {"vblora_", "VB-LoRA"},
	{"fourierft_", "FourierFT"}, {"lora_E", "AdaLoRA"}, {"ranknum", "AdaLoRA"}, {"randlora_", "RandLoRA"}, {"road_theta", "RoAd"},
	{"road_alpha", "RoAd"}, {"shira_", "SHiRA"}, {"c3a_kernel", "C3A"}, {"miss_block", "MiSS"}, {"bone_block", "Bone"},
	{"gralora_", "GraLoRA"}, {"delora_", "DeLoRA"}, {"waveft_", "WaveFT"}, {"glora_", "PEFT's GLoRA"}, {"osf_", "OSF"}, {"psoft_", "PSOFT"},
	{"poly_lora_", "Poly"}, {"poly_router", "Poly"}, {"hira_", "HiRA"}, {"tinylora_", "TinyLoRA"}, {"unilora_", "Uni-LoRA"},
	{"deft_P", "DEFT"}, {"deft_R", "DEFT"}, {"beft_bias", "BEFT"}, {"lily_", "LILY"}, {"adamss_", "AdaMSS"}, {"peanut_", "PEANuT"},
	{"frod_", "FRoD"}, {"supertuning_", "Supertuning"}, {"trainable_tokens_", "trainable tokens"}, {"xlora_", "X-LoRA"},
	{"internal_xlora_", "X-LoRA"}, {"prompt_embeddings", "prompt tuning"}, {"oft_embedding_", "OFT of an embedding"},
	{"lora_embedding_", "LoRA of an embedding"}, {"lora_diag", "LoRA with a diagonal"}, {"adaption_", "adaption prompts"},
}

// variants are tensors of variants of algorithms that are read. The variants themselves are not read.
var variants = []struct{ begins, algorithm string }{
	{"lora_", "LoRA"}, {"hada_", "LoHa"}, {"lokr_", "LoKr"}, {"oft_", "OFT"}, {"boft_", "BOFT"}, {"ia3_", "(IA)^3"},
}

// refusal is a reason why tensors are not applied. algorithm names a file that has only such tensors.
type refusal struct{ algorithm, reason string }

// refusalOf says why a tensor cannot be applied, by its name. ok is false if the name belongs to no known algorithm that is not read.
func refusalOf(name string) (refusal, bool) {
	for end, what := range refused {
		if strings.HasSuffix(name, end) {
			return notSupported(what), true
		}
	}
	for part := range strings.SplitSeq(name, ".") {
		for _, f := range foreignAlgorithms {
			if strings.HasPrefix(part, f.begins) {
				return notSupported(f.algorithm), true
			}
		}
	}
	return refusal{}, false
}

func notSupported(algorithm string) refusal {
	return refusal{algorithm, "belongs to " + algorithm + ", which is not supported"}
}

// unknownPart explains a name that no adapter has.
func unknownPart(name string) string {
	for part := range strings.SplitSeq(name, ".") {
		for _, v := range variants {
			// kohya's prefixes of modules begin with "lora_" too
			if strings.HasPrefix(part, v.begins) && !strings.HasPrefix(part, "lora_unet") && !strings.HasPrefix(part, "lora_te") {
				return fmt.Sprintf("is no part of %s that is known", v.algorithm)
			}
		}
	}
	return "no adapter's name"
}
