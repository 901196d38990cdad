package adapters

import "strings"

// part says what a tensor is within its module's adapter.
type part string

// The parts, named by LyCORIS' and kohya's keys.
const (
	partDown      part = "lora_down"
	partUp        part = "lora_up"
	partMid       part = "lora_mid" // Tucker core of a convolution, [r, r, k, k]
	partAlpha     part = "alpha"
	partMagnitude part = "dora_scale"
	// partPEFTMagnitude is PEFT's, always one per output; LyCORIS' shape tells which axis it is for.
	partPEFTMagnitude part = "lora_magnitude_vector"
	partHadaW1A       part = "hada_w1_a"
	partHadaW1B       part = "hada_w1_b"
	partHadaW2A       part = "hada_w2_a"
	partHadaW2B       part = "hada_w2_b"
	partHadaT1        part = "hada_t1"
	partHadaT2        part = "hada_t2"
	partLokrW1        part = "lokr_w1"
	partLokrW1A       part = "lokr_w1_a"
	partLokrW1B       part = "lokr_w1_b"
	partLokrW2        part = "lokr_w2"
	partLokrW2A       part = "lokr_w2_a"
	partLokrW2B       part = "lokr_w2_b"
	partLokrT2        part = "lokr_t2"
	partIA3           part = "weight" // (IA)^3 of LyCORIS: the change of a factor
	partOnInput       part = "on_input"
	partPEFTIA3       part = "ia3_l" // (IA)^3 of PEFT: the factor itself
	partDiff          part = "diff"
	partDiffBias      part = "diff_b"
	partNormWeight    part = "w_norm"
	partNormBias      part = "b_norm"
	// partBias is the bias PEFT trains along with lora_B (lora_bias); it is scaled as B is.
	partBias part = "lora_B.bias"
)

// suffix is an end of a tensor's name and what it means. With attach, the text takes the suffix's place: old diffusers
// processors name the projection inside the suffix.
type suffix struct {
	text   string
	part   part
	reason string // instead of part: why it cannot be applied
}

// suffixes in the order they are tried: longer ones before their own ends.
var suffixes = []suffix{
	{text: ".lora_down.weight", part: partDown}, // kohya, LyCORIS, OneTrainer, ai-toolkit
	{text: ".lora_up.weight", part: partUp},
	{text: ".lora_mid.weight", part: partMid},
	{text: ".lora_A.weight", part: partDown}, // PEFT, diffusers >= 0.25
	{text: ".lora_B.weight", part: partUp},
	{text: ".lora_A.default.weight", part: partDown}, // PEFT's state dict with the adapter's name
	{text: ".lora_B.default.weight", part: partUp},
	{text: ".lora_B.bias", part: partBias},
	{text: ".lora_B.default.bias", part: partBias},
	{text: ".lora_linear_layer.down.weight", part: partDown}, // diffusers 0.17 to 0.24
	{text: ".lora_linear_layer.up.weight", part: partUp},
	{text: ".lora_conv2d_layer.down.weight", part: partDown},
	{text: ".lora_conv2d_layer.up.weight", part: partUp},
	{text: ".lora.down.weight", part: partDown},
	{text: ".lora.up.weight", part: partUp},
	{text: ".lora_magnitude_vector.default.weight", part: partPEFTMagnitude},
	{text: ".lora_magnitude_vector.weight", part: partPEFTMagnitude},
	{text: ".lora_magnitude_vector", part: partPEFTMagnitude},
	{text: "_lora.down.weight", part: partDown}, // attention processors of diffusers before 0.17
	{text: "_lora.up.weight", part: partUp},
	{text: ".dora_scale", part: partMagnitude},
	{text: ".alpha", part: partAlpha},
	{text: ".network_alpha", part: partAlpha},
	{text: ".hada_w1_a", part: partHadaW1A},
	{text: ".hada_w1_b", part: partHadaW1B},
	{text: ".hada_w2_a", part: partHadaW2A},
	{text: ".hada_w2_b", part: partHadaW2B},
	{text: ".hada_t1", part: partHadaT1},
	{text: ".hada_t2", part: partHadaT2},
	{text: ".lokr_w1_a", part: partLokrW1A},
	{text: ".lokr_w1_b", part: partLokrW1B},
	{text: ".lokr_w1", part: partLokrW1},
	{text: ".lokr_w2_a", part: partLokrW2A},
	{text: ".lokr_w2_b", part: partLokrW2B},
	{text: ".lokr_t2", part: partLokrT2},
	{text: ".lokr_w2", part: partLokrW2},
	{text: ".on_input", part: partOnInput},
	{text: ".ia3_l", part: partPEFTIA3},
	{text: ".diff_b", part: partDiffBias},
	{text: ".diff", part: partDiff},
	{text: ".w_norm", part: partNormWeight},
	{text: ".b_norm", part: partNormBias},
	{text: ".oft_blocks", reason: "OFT, an algorithm that is not supported"},
	{text: ".oft_diag", reason: "OFT, an algorithm that is not supported"},
	{text: ".oft_R.weight", reason: "OFT, an algorithm that is not supported"},
	{text: ".a1.weight", reason: "GLoRA, an algorithm that is not supported"},
	{text: ".a2.weight", reason: "GLoRA, an algorithm that is not supported"},
	{text: ".b1.weight", reason: "GLoRA, an algorithm that is not supported"},
	{text: ".b2.weight", reason: "GLoRA, an algorithm that is not supported"},
	{text: ".set_weight", reason: "a whole weight instead of a change of one, which is not supported"},
	{text: ".reshape_weight", reason: "a reshaped weight, which is not supported"},
	{text: ".weight", part: partIA3},
}

// splitKey parts a tensor's name into its module, as the file names it, and its role there. ok is false for a name that
// is no adapter's.
func splitKey(name string) (module string, s suffix, ok bool) {
	for _, s := range suffixes {
		if base, found := strings.CutSuffix(name, s.text); found && base != "" {
			return base, s, true
		}
	}
	return "", suffix{}, false
}
