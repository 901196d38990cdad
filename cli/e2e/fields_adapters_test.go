package e2e

import (
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
)

// kohya gives LyCORIS' own names the beginning that kohya's trainer gives them.
var kohya = prefix("lycoris_", "lora_unet_")

// attention is the module of SDXL's UNet that the rows by hand change, as diffusers and as the original layout call it.
const (
	attention     = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
	flatAttention = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
	ldmAttention  = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
)

// pair is a LoRA of one module of 64 by 64.
func pair(module, down, up string) []change {
	return []change{with(module+down, "F16", 2, 64), with(module+up, "F16", 64, 2)}
}

var adapterFields = []field{
	{"diffusers, as the library names it", "lora", layout("diffusers-lora", "unet"), taken, nil},
	{"PEFT's LoRA", "lora", layout("peft-lora", "unet"), taken, nil},
	{"PEFT's DoRA", "lora", layout("peft-dora", "unet"), taken, nil},
	{"PEFT's LoHa", "lora", layout("peft-loha", "unet"), taken, nil},
	{"PEFT's LoKr", "lora", layout("peft-lokr", "unet"), taken, nil},
	{"PEFT's (IA)^3", "lora", layout("peft-ia3", "unet"), taken, nil},
	{"LyCORIS' LoCon", "lora", layout("lycoris-locon", "unet"), taken, nil},
	{"LyCORIS' LoCon from kohya's trainer", "lora", layout("lycoris-locon", "unet", kohya), taken, nil},
	{"LyCORIS' LoHa", "lora", layout("lycoris-loha", "unet", kohya), taken, nil},
	{"LyCORIS' LoKr", "lora", layout("lycoris-lokr", "unet", kohya), taken, nil},
	{"LyCORIS' (IA)^3", "lora", layout("lycoris-ia3", "unet", kohya), taken, nil},
	{"LyCORIS' full", "lora", layout("lycoris-full", "unet", kohya), taken, nil},
	{"LyCORIS' DyLoRA", "lora", layout("lycoris-dylora", "unet", kohya), taken, nil},
	{"LyCORIS' Diag-OFT", "lora", layout("lycoris-diag-oft", "unet"), taken, nil},
	{"LyCORIS' Diag-OFT from kohya's trainer", "lora", layout("lycoris-diag-oft", "unet", kohya), taken, nil},
	{"kohya's own OFT", "lora", tensorsOf(with("oft_unet_"+strings.TrimPrefix(ldmAttention, "lora_unet_")+".oft_blocks", "F16", 8, 8, 8),
		with("oft_unet_"+strings.TrimPrefix(ldmAttention, "lora_unet_")+".alpha", "F16")), taken, nil},
	{"LyCORIS' BOFT", "lora", layout("lycoris-boft", "unet"), taken, nil},
	{"LyCORIS' BOFT from kohya's trainer", "lora", layout("lycoris-boft", "unet", kohya), taken, nil},
	{"LyCORIS' GLoRA", "lora", layout("lycoris-glora", "unet"), taken, nil},
	{"LyCORIS' GLoRA from kohya's trainer", "lora", layout("lycoris-glora", "unet", kohya), taken, nil},
	{"PEFT's OFT, its folder", "lora", peftFolder("peft-oft", `{"peft_type": "OFT", "peft_version": "0.18.0"}`), taken, nil},
	{"PEFT's OFT without its configuration", "lora", layout("peft-oft", "unet"), refused, []string{"adapter_config.json"}},
	{"PEFT's BOFT", "lora", layout("peft-boft", "unet"), taken, nil},
	{"kohya, diffusers' blocks", "lora", tensorsOf(pair(flatAttention, ".lora_down.weight", ".lora_up.weight")...), taken, nil},
	{"kohya, original blocks", "lora", tensorsOf(pair(ldmAttention, ".lora_down.weight", ".lora_up.weight")...), taken, nil},
	{"diffusers of before 0.17", "lora", tensorsOf(pair("unet."+strings.Replace(attention, "attn1.to_q", "attn1.processor.to_q_lora", 1),
		".down.weight", ".up.weight")...), taken, nil},
	{"diffusers, .lora.down", "lora", tensorsOf(pair("unet."+attention, ".lora.down.weight", ".lora.up.weight")...), taken, nil},
	{"diffusers, lora_A with the adapter's name", "lora", tensorsOf(pair("unet."+attention, ".lora_A.default.weight",
		".lora_B.default.weight")...), taken,
		nil},
	{"ai-toolkit", "lora", tensorsOf(pair("diffusion_model."+strings.ReplaceAll(attention, "down_blocks.1.attentions.0", "input_blocks.4.1"),
		".lora_down.weight", ".lora_up.weight")...), taken, nil},
	{"OneTrainer, with a bundled embedding", "lora", tensorsOf(append(pair(flatAttention, ".lora_down.weight", ".lora_up.weight"),
		with("bundle_emb.word.clip_l", "F16", 1, 64))...), warned, []string{"bundle_emb"}},
	{"torch.save", "lora", written("file.pt", synth.Options{Kind: synth.KindNanoLoRA}), taken, nil},
	{"synthetic", "lora", written("file.safetensors", synth.Options{Kind: synth.KindNanoLoRA}), taken, nil},
	{"a module that SDXL has not", "lora", tensorsOf(append(pair(flatAttention, ".lora_down.weight", ".lora_up.weight"),
		pair("lora_unet_nowhere_to_q", ".lora_down.weight", ".lora_up.weight")...)...), warned, []string{"nowhere"}},
	{"for Stable Diffusion 1.5", "lora", tensorsOf(pair("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k",
		".lora_down.weight",
		".lora_up.weight")...), refused, []string{"lora"}},
	{"for Flux", "lora", tensorsOf(pair("lora_unet_double_blocks_0_img_attn_qkv", ".lora_down.weight", ".lora_up.weight")...), refused,
		[]string{"is made for Flux"}},
	{"a checkpoint", "lora", original(), refused, []string{"sdxl-base"}},
	{"a textual inversion", "lora", tensorsOf(with("clip_l", "F16", 2, 768), with("clip_g", "F16", 2, 1280)), refused, []string{"textual"}},
	{"PEFT's VeRA", "lora", layout("peft-vera", "unet"), refused, []string{"VeRA"}},
	{"PEFT's HRA", "lora", layout("peft-hra", "unet"), refused, []string{"HRA"}},
	{"PEFT's LN-tuning", "lora", foreign(".ln_tuning_layers.weight"), refused, []string{"LN-tuning"}},
	{"PEFT's VB-LoRA", "lora", foreign(".vblora_logits_A"), refused, []string{"VB-LoRA"}},
	{"PEFT's FourierFT", "lora", foreign(".fourierft_spectrum"), refused, []string{"FourierFT"}},
	{"PEFT's AdaLoRA", "lora", foreign(".lora_E"), refused, []string{"AdaLoRA"}},
	{"PEFT's RandLoRA", "lora", foreign(".randlora_lambda"), refused, []string{"RandLoRA"}},
	{"PEFT's RoAd", "lora", foreign(".road_theta"), refused, []string{"RoAd"}},
	{"PEFT's SHiRA", "lora", foreign(".shira_weight"), refused, []string{"SHiRA"}},
	{"PEFT's MiSS", "lora", foreign(".miss_block"), refused, []string{"MiSS"}},
	{"PEFT's Bone", "lora", foreign(".bone_block"), refused, []string{"Bone"}},
	{"PEFT's GLoRA", "lora", foreign(".glora_A"), refused, []string{"PEFT's GLoRA"}},
	{"OFT of vectors", "lora", foreign(".oft_diag"), refused, []string{"OFT of vectors"}},
	{"an algorithm beside a LoRA", "lora", tensorsOf(append(pair(flatAttention, ".lora_down.weight", ".lora_up.weight"),
		with("base_model.model."+attention+".vera_lambda_b", "F16", 64))...), warned, []string{"VeRA"}},
}

// foreign is PEFT's file of an algorithm that is not read.
func foreign(part string) func(*kit) string {
	return tensorsOf(with("base_model.model."+attention+part, "F16", 64, 64))
}

// peftFolder is what PEFT writes: adapter_model.safetensors beside its configuration. The file is what is given.
func peftFolder(name, config string) func(*kit) string {
	return func(k *kit) string {
		k.bytes("adapter_config.json", []byte(config))
		return as("adapter_model.safetensors", layout(name, "unet"))(k)
	}
}

var embeddingFields = []field{
	{"SDXL: clip_l and clip_g", "embedding", tensorsOf(with("clip_l", "F16", 2, 64), with("clip_g", "F16", 2, 64)), taken, nil},
	{"diffusers: text_encoders_0 and text_encoders_1", "embedding", tensorsOf(with("text_encoders_0", "F32", 2, 64),
		with("text_encoders_1", "F32", 2, 64)), taken, nil},
	{"one half only: clip_g", "embedding", tensorsOf(with("clip_g", "F32", 1, 64)), warned, []string{"no vectors for text encoder 1"}},
	{"diffusers: one token", "embedding", tensorsOf(with("<word>", "F32", 64)), warned, []string{"no vectors for text encoder 2"}},
	{"A1111: string_to_param in a pickle", "embedding", torchFile("ti.pt"), warned, []string{"no vectors for text encoder 2"}},
	{"real sizes, for SDXL's own encoders", "embedding", tensorsOf(with("clip_l", "F16", 2, 768), with("clip_g", "F16", 2, 1280)), refused,
		[]string{"it is for another model"}},
	{"EasyNegative: emb_params of Stable Diffusion 1.x", "embedding", tensorsOf(with("emb_params", "F32", 8, 768)), refused,
		[]string{"Stable Diffusion 1.x"}},
	{"Stable Diffusion 2.x", "embedding", tensorsOf(with("emb_params", "F32", 8, 1024)), refused, []string{"Stable Diffusion 2.x"}},
	{"OneTrainer's output embedding", "embedding", tensorsOf(with("clip_l_out", "F32", 2, 768), with("clip_g_out", "F32", 2, 1280)), refused,
		[]string{"_out is an output embedding"}},
	{"Stable Diffusion 3: with T5", "embedding", tensorsOf(with("clip_l", "F32", 1, 768), with("clip_g", "F32", 1, 1280),
		with("t5xxl", "F32", 1, 4096)), refused, []string{"T5"}},
	{"vectors of two numbers", "embedding", tensorsOf(with("clip_l", "F32", 1, 64), with("clip_g", "F32", 2, 64)), refused,
		[]string{"2 vectors, but clip_l has 1"}},
	{"too many vectors", "embedding", tensorsOf(with("clip_l", "F32", 76, 64)), refused, []string{"1 to 75 vectors"}},
	{"a LoRA", "embedding", layout("peft-lora", "unet"), refused, []string{"a lora, not a textual-inversion"}},
	{"a checkpoint", "embedding", original(), refused, []string{"embedding"}},
	{"a picture with an embedding in it", "embedding", raw("word.png", []byte("\x89PNG\r\n\x1a\n")), refused, []string{"a picture"}},
}
