package e2e

import (
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
)

// Prefixes of whole checkpoints.
const (
	ldmUNet = "model.diffusion_model."
	ldmVAE  = "first_stage_model."
	ldmText = "conditioner.embedders.0.transformer."
	ldmClip = "conditioner.embedders.1.model."
)

var modelFields = []field{
	{"generative-models, kohya, A1111: sgm's names", "model", original(), same, nil},
	{"a merge with the averaged weights left in", "model", original(with("model_ema.decay", "F32"), with("model_ema.num_updates", "I64"),
		with("model_ema.diffusion_modelinput_blocks00weight", "F16", 32, 4, 3, 3)), noted, []string{"averaged weights of training"}},
	{"with the schedule of the training", "model", original(with("alphas_cumprod", "F32", 1000), with("betas", "F32", 1000),
		with("sqrt_alphas_cumprod", "F32", 1000), with("model.alphas", "F32", 1000)), noted, nil},
	{"with position ids as newer transformers omit them", "model", original(with(ldmText+"text_model.embeddings.position_ids", "I64", 1, 77)),
		same,
		nil},
	{"with position ids in F16, as merges round them", "model", original(with(ldmText+"text_model.embeddings.position_ids", "F16", 1, 77)),
		same,
		nil},
	{"with logit_scale of OpenCLIP", "model", original(with(ldmClip+"logit_scale", "F32")), same, nil},
	{"with tensors of types that are no numbers", "model", original(with("flags", "BOOL", 3), with("phases", "C64", 3), with("ids", "U16", 3),
		with("scales", "F8_E8M0", 4), with("packed", "F6_E2M3", 6), with("other", "I8", 3)), noted, nil},
	{"text encoders as A1111 wrote them first", "model", original(prefix(ldmText, "cond_stage_model.transformer."),
		prefix(ldmClip, "cond_stage_model.1.model.")), same, nil},
	{"saved from torch.compile", "model", original(prefix("", "_orig_mod.")), same, nil},
	{"saved from torch.compile, the UNet only", "model", original(prefix(ldmUNet, ldmUNet+"_orig_mod.")), same, nil},
	{"saved from DataParallel", "model", original(prefix("", "module.")), same, nil},
	{"ComfyUI's text_encoders", "model", original(prefix(ldmText, "text_encoders.clip_l.transformer."), prefix(ldmClip,
		"text_encoders.clip_g.")),
		same, nil},
	{"stable-diffusion.cpp: te1, te2, unet and vae", "model", original(prefix(ldmText, "te1."), prefix(ldmClip, "te2."), prefix(ldmUNet,
		"unet."),
		prefix(ldmVAE, "vae.")), same, nil},
	{"diffusers' names in one file", "model", diffusers(), same, nil},
	{"diffusers' names, text encoders without text_model", "model", diffusers(replaced("text_encoder.text_model.", "text_encoder.",
		"text_encoder_2.text_model.", "text_encoder_2.")), same, nil},
	{"diffusers' names, the UNet's in the original layout", "model", original(prefix(ldmVAE, "vae."), prefix(ldmUNet, "diffusion_model.")),
		same, nil},
	{"transformers' second encoder under conditioner", "model", diffusers(prefix("text_encoder_2.", "conditioner.embedders.1.transformer."),
		prefix("text_encoder.", ldmText)), same, nil},
	{"safetensors under the name .ckpt", "model", as("file.ckpt", original()), same, nil},
	{"torch.save under the name .safetensors", "model", as("file.safetensors", written("x.ckpt", synth.Options{Kind: synth.KindNano})), taken,
		nil},
	{"torch.save", "model", written("file.ckpt", synth.Options{Kind: synth.KindNano}), taken, nil},
	{"torch.save of diffusers' names", "model", written("file.pt", synth.Options{Kind: synth.KindNano, Layout: modelfile.LayoutDiffusers}),
		taken,
		nil},
	{"GGUF in F16", "model", gguf(), same, nil},
	{"GGUF in F16, reshaped as by ComfyUI-GGUF", "model", gguf(reshaped), same, nil},
	{"GGUF in Q8_0 by daguerre", "model", converted("q8_0"), taken, nil},
	{"GGUF in Q4_K by daguerre", "model", converted("q4_k"), taken, nil},
	{"NoobAI: v_pred and ztsnr", "model", original(with("v_pred", "F16"), with("ztsnr", "F16")), taken, nil},
	{"modelspec says v", "model", original(states("modelspec.prediction_type", "v")), same, nil},
	{"metadata of other programs", "model", original(states("ss_v2", "False"), states("merge_recipe", "{\"a\": 1}")), same, nil},
	{"a tensor of nothing known", "model", original(with("notes", "F32", 4)), noted, nil},

	{"a checkpoint without its VAE", "model", original(without(ldmVAE)), refused, []string{"vae", "give one as vae"}},
	{"a UNet alone", "model", original(only(ldmUNet)), refused, []string{"give one as"}},
	{"a VAE alone", "model", original(only(ldmVAE)), refused, []string{"vae", "SDXL base"}},
	{"a refiner", "model", written("file.safetensors", synth.Options{Kind: synth.KindNanoRefiner}), refused,
		[]string{"this is an SDXL refiner"}},
	{"a LoRA", "model", layout("lycoris-locon", "unet"), refused, []string{"this is a LoRA"}},
	{"a ControlNet", "model", written("file.safetensors", synth.Options{Kind: synth.KindNanoControl}), refused,
		[]string{"this is a ControlNet"}},
	{"a textual inversion", "model", tensorsOf(with("clip_l", "F16", 2, 768), with("clip_g", "F16", 2, 1280)), refused,
		[]string{"this is a textual inversion"}},
	{"Stable Diffusion 1.5", "model", tensorsOf(oldUNet(768)...), refused, []string{"Stable Diffusion 1.x"}},
	{"Stable Diffusion 2.1", "model", tensorsOf(oldUNet(1024)...), refused, []string{"Stable Diffusion 2.x"}},
	{"Stable Diffusion 3", "model", tensorsOf(with("model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight", "F16", 8, 8)),
		refused,
		[]string{"Stable Diffusion 3"}},
	{"Flux, original", "model", tensorsOf(with("double_blocks.0.img_attn.qkv.weight", "F16", 8, 8)), refused, []string{"Flux"}},
	{"Flux, diffusers", "model", tensorsOf(with("single_transformer_blocks.0.attn.to_q.weight", "F16", 8, 8)), refused, []string{"Flux"}},
	{"PixArt", "model", tensorsOf(with("adaln_single.emb.timestep_embedder.linear_1.weight", "F16", 8, 8)), refused,
		[]string{"no model known here"}},
	{"InstructPix2Pix for SDXL", "model", original(without("input_blocks.0.0.weight"), with(ldmUNet+"input_blocks.0.0.weight", "F16", 32, 8, 3,
		3)),
		refused, []string{"8 input channels"}},
	{"a tensor in a type that is no number", "model", original(without("diffusion_model.out.0.bias"), with(ldmUNet+"out.0.bias", "C64", 32)),
		refused,
		[]string{"out.0.bias", "C64"}},
	{"a tensor in a type that nobody knows", "model", original(without("diffusion_model.out.0.bias"), with(ldmUNet+"out.0.bias", "F99", 32)),
		refused,
		[]string{"out.0.bias", "F99"}},
}

// hollow is a file of the real size whose weights take no room.
func hollow(kind synth.Kind, edit func(*modelfile.Dims)) func(*kit) string {
	return func(k *kit) string {
		dims := modelfile.Preset(string(kind))
		if edit != nil {
			edit(&dims)
		}
		path := k.dir + "/file.safetensors"
		require.NoError(k.t, synth.WriteHollow(path, synth.Options{Kind: kind, Dims: &dims}))
		return path
	}
}

var sizeFields = []field{
	{"SDXL base 1.0", "size", hollow(synth.KindSDXLBase, nil), taken, []string{"sdxl-base", "context 2048", "every tensor is there"}},
	{"SDXL inpainting 0.1", "size", hollow(synth.KindSDXLInpaint, nil), taken, []string{"sdxl-inpaint", "9 -> 4 channels"}},
	{"SDXL refiner 1.0", "size", hollow(synth.KindSDXLRefiner, nil), taken, []string{"sdxl-refiner", "context 1280"}},
	{"SSD-1B: depths that differ within a level", "size", hollow(synth.KindSDXLBase, func(d *modelfile.Dims) {
		d.UNet.DownDepth, d.UNet.UpDepth = [][]int{{0, 0}, {2, 2}, {4, 4}}, [][]int{{0, 0, 0}, {2, 1, 1}, {4, 4, 10}}
		d.UNet.MiddleDepth = 0
	}), taken, []string{"sdxl-base", "every tensor is there"}},
	{"KOALA: one resnet less in each level", "size", hollow(synth.KindSDXLBase, func(d *modelfile.Dims) {
		d.UNet.Resnets, d.UNet.DownDepth = []int{1, 1, 1}, [][]int{{0}, {2}, {6}}
		d.UNet.UpDepth, d.UNet.MiddleDepth = [][]int{{0, 0}, {2, 2}, {6, 6}}, 6
	}), taken, []string{"sdxl-base", "every tensor is there"}},
}

// oldUNet is what tells a UNet of Stable Diffusion 1.x or 2.x.
func oldUNet(context int64) []change {
	const block = ldmUNet + "input_blocks.1."
	return []change{with(ldmUNet+"input_blocks.0.0.weight", "F16", 4, 4, 3, 3), with(block+"0.in_layers.2.weight", "F16", 4, 4, 3, 3),
		with(block+"1.transformer_blocks.0.norm1.weight", "F16", 4), with(block+"1.transformer_blocks.0.attn2.to_k.weight", "F16", 4, context)}
}

// converted is the nano model as `daguerre models convert` writes it.
func converted(typ string) func(*kit) string {
	return func(k *kit) string {
		in, out := original()(k), k.dir+"/file.gguf"
		r := run(k.t, "models", "convert", in, out, "--type", typ, "-q")
		if r.code != 0 {
			k.t.Fatal(r.stderr)
		}
		return out
	}
}

// html is what a download without a login gives.
const html = "<!DOCTYPE html><html><head><title>Sign in</title></head></html>"

var brokenFields = []field{
	{"nothing", "model", raw("file.safetensors", nil), refused, []string{"empty", "download"}},
	{"a web page", "model", raw("file.safetensors", []byte(html)), refused, []string{"HTML page"}},
	{"a git-lfs pointer", "model", raw("file.safetensors",
		[]byte("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 6938040682\n")),
		refused, []string{"git lfs pull"}},
	{"a list of shards", "model", raw("model.safetensors.index.json", []byte(`{"metadata": {}, "weight_map": {"a": "b.safetensors"}}`)),
		refused,
		[]string{"JSON"}},
	{"half of a download", "model", func(k *kit) string { b := k.nano.bytes(k.t); return k.bytes("file.safetensors", b[:len(b)/2]) }, refused,
		[]string{"bytes are missing", "download it again"}},
	{"a gzip archive", "model", raw("file.safetensors", []byte("\x1f\x8b\x08\x00rest of it")), refused, []string{"unpack"}},
	{"a 7z archive", "model", raw("file.7z", []byte("7z\xbc\xaf\x27\x1c")), refused, []string{"unpack"}},
	{"a picture", "model", raw("file.png", []byte("\x89PNG\r\n\x1a\n")), refused, []string{"a picture"}},
	{"a GGML file of before GGUF", "model", raw("file.bin", []byte("lmgg\x01\x00\x00\x00")), refused, []string{"GGUF"}},
	{"a big-endian GGUF", "model", raw("file.gguf", []byte("FUGG\x00\x00\x00\x03")), refused, []string{"big-endian"}},
	{"a pickle that calls a function", "model", torchFile("evil.pt"), refused, []string{"nothing was run"}},
	{"a pickle of a whole module", "model", torchFile("module.pth"), refused, []string{"state_dict()"}},
	{"TorchScript", "model", torchFile("ts.pt"), refused, []string{"TorchScript"}},
	{"a place kept for a download", "model", raw("file.safetensors", make([]byte, 4096)), refused, []string{"header length",
		"download it again"}},
	{"ONNX", "model", raw("model.onnx", []byte("\x08\x08\x12\x07pytorch\x1a\x052.1.0")), refused, []string{"an ONNX file"}},
	{"Draw Things", "model", raw("file.ckpt", []byte("SQLite format 3\x00\x10\x00")), refused, []string{"Draw Things"}},
	{"a text", "model", raw("file.txt", []byte(strings.Repeat("a model card\n", 9))), refused, []string{"a text file"}},
}
