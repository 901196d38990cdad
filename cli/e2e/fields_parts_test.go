package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
)

// folder writes a diffusers folder. weights names the file of a component, and how its tensors are changed.
func folder(weights func(component string) (file string, changes []change)) func(*kit) string {
	return func(k *kit) string {
		dir := filepath.Join(k.dir, "folder")
		require.NoError(k.t, os.CopyFS(dir, os.DirFS(k.folder)))
		for _, component := range []string{"unet", "vae", "text_encoder", "text_encoder_2"} {
			file, changes := weights(component)
			x := changed(k.canonical, append([]change{only(component + ".")}, changes...))
			if strings.HasSuffix(file, ".json") {
				k.shards(filepath.Join("folder", component, file), x)
			} else if file != "" {
				k.save(filepath.Join("folder", component, file), x)
			}
		}
		return dir
	}
}

// shards writes tensors as two files and the list of them.
func (k *kit) shards(index string, x *tensors) {
	list := map[string]string{}
	for i, half := range [][]string{x.names[:len(x.names)/2], x.names[len(x.names)/2:]} {
		part := changed(&tensors{metadata: x.metadata}, nil)
		file := strings.TrimSuffix(filepath.Base(index), ".safetensors.index.json") + fmt.Sprintf("-%05d-of-00002.safetensors", i+1)
		for _, n := range half {
			part.add(n, x.dtype[n], x.shape[n], x.data[n])
			list[n] = file
		}
		k.save(filepath.Join(filepath.Dir(index), file), part)
	}
	text, err := json.Marshal(map[string]any{"metadata": map[string]any{}, "weight_map": list})
	require.NoError(k.t, err)
	k.bytes(index, text)
}

// stem is what transformers and diffusers call the file of a component.
func stem(component string) string {
	if strings.HasPrefix(component, "text") {
		return "model"
	}
	return "diffusion_pytorch_model"
}

// usual is a folder as transformers before 5.6 wrote it.
func usual(c string) (string, []change) { return stem(c) + ".safetensors", nil }

// newer is a folder as transformers writes it from 5.6 on: the first encoder without text_model.
func newer(c string) (string, []change) {
	if c == "text_encoder" {
		return stem(c) + ".safetensors", []change{prefix("text_model.", "")}
	}
	return usual(c)
}

// of is a folder within another one.
func of(dir func(*kit) string, name string) func(*kit) string {
	return func(k *kit) string { return filepath.Join(dir(k), name) }
}

// lone is the folder of one component.
func lone(config string, weights func(*kit) string) func(*kit) string {
	return func(k *kit) string {
		weights(k)
		k.bytes("config.json", []byte(config))
		return k.dir
	}
}

// nanoVAE is the nano model's VAE alone.
func nanoVAE() *modelfile.Dims {
	d := modelfile.Preset("nano")
	return &modelfile.Dims{VAE: d.VAE}
}

// lacking is a folder without some of its files.
func lacking(dir func(*kit) string, files ...string) func(*kit) string {
	return func(k *kit) string {
		path := dir(k)
		for _, f := range files {
			require.NoError(k.t, os.Remove(filepath.Join(path, f)))
		}
		return path
	}
}

var folderFields = []field{
	{"diffusers", "model", folder(usual), same, nil},
	{"diffusers with transformers from 5.6 on", "model", folder(newer), same, nil},
	{"both encoders without text_model", "model", folder(func(c string) (string, []change) {
		return stem(c) + ".safetensors", []change{prefix("text_model.", "")}
	}), same, nil},
	{"the variant fp16", "model", folder(func(c string) (string, []change) { return stem(c) + ".fp16.safetensors", nil }), same, nil},
	{"shards", "model", folder(func(c string) (string, []change) { return stem(c) + ".safetensors.index.json", nil }), same, nil},
	{"shards with transformers from 5.6 on", "model", folder(func(c string) (string, []change) {
		_, changes := newer(c)
		return stem(c) + ".safetensors.index.json", changes
	}), same, nil},
	{"shards of a variant, as diffusers writes them now", "model", folder(func(c string) (string, []change) {
		_, changes := newer(c)
		return stem(c) + ".safetensors.index.fp16.json", changes
	}), same, nil},
	{"no model_index.json", "model", lacking(folder(usual), "model_index.json"), refused, []string{"without model_index.json"}},
	{"a component without weights", "model", lacking(folder(usual), "text_encoder/model.safetensors"), refused, []string{"text_encoder",
		"no weights"}},
	{"a lost shard", "model", lacking(folder(func(c string) (string, []change) { return stem(c) + ".safetensors.index.json", nil }),
		"unet/diffusion_pytorch_model-00002-of-00002.safetensors"), refused, []string{"shard 2 of 2 is missing"}},
	{"Kolors: SDXL's UNet, another text encoder", "model", func(k *kit) string {
		k.bytes("kolors/model_index.json", []byte(`{"_class_name": "KolorsPipeline", "text_encoder": ["kolors", "ChatGLMModel"]}`))
		return filepath.Join(k.dir, "kolors")
	}, refused, []string{"ChatGLMModel"}},
	{"a folder of another network", "unet", lone(`{"_class_name": "FluxTransformer2DModel"}`, raw("diffusion_pytorch_model.safetensors", nil)),
		refused,
		[]string{"FluxTransformer2DModel"}},
	{"CLIP-L with its vision side, its folder", "text_encoder", lone(`{"architectures": ["CLIPModel"]}`, as("model.safetensors",
		layout("transformers-clip", "text_encoder"))), noted, nil},
	{"a pipeline of Stable Diffusion 3", "model", func(k *kit) string {
		k.bytes("sd3/model_index.json",
			[]byte(`{"_class_name": "StableDiffusion3Pipeline", "transformer": ["diffusers", "SD3Transformer2DModel"]}`))
		return filepath.Join(k.dir, "sd3")
	}, refused, []string{"SD3Transformer2DModel"}},
	{"a pipeline's folder", "vae", folder(usual), same, nil},
	{"a pipeline's folder of which nothing else was downloaded", "vae", lacking(folder(usual), "unet/diffusion_pytorch_model.safetensors",
		"text_encoder/model.safetensors"), same, nil},
	{"the folder of a pipeline with another network: PixArt's VAE is SDXL's", "vae", func(k *kit) string {
		dir := lacking(folder(usual), "unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors")(k)
		k.bytes("folder/model_index.json",
			[]byte(`{"_class_name": "PixArtSigmaPipeline", "transformer": ["diffusers", "PixArtTransformer2DModel"],
			"text_encoder": ["transformers", "T5EncoderModel"], "vae": ["diffusers", "AutoencoderKL"]}`))
		return dir
	}, same, nil},
	{"the VAE's folder", "vae", of(folder(usual), "vae"), same, nil},
	{"the UNet's folder", "unet", of(folder(usual), "unet"), same, nil},
	{"the UNet's folder in shards", "unet", of(folder(func(c string) (string, []change) {
		return stem(c) + ".fp16.safetensors.index.json", nil
	}), "unet"), same, nil},
	{"the first encoder's folder", "text_encoder", of(folder(usual), "text_encoder"), same, nil},
	{"the first encoder's folder from 5.6 on", "text_encoder", of(folder(newer), "text_encoder"), same, nil},
	{"the second encoder's folder", "text_encoder_2", of(folder(usual), "text_encoder_2"), same, nil},
	{"a VAE's folder with weights of torch.save", "vae", lone(`{"_class_name": "AutoencoderKL", "norm_num_groups": 2, "scaling_factor": 0.68}`,
		written("diffusion_pytorch_model.bin", synth.Options{Kind: synth.KindNano, Dims: nanoVAE(), Layout: modelfile.LayoutDiffusers})), taken,
		nil},
	{"a TAESD's folder", "taesd", lone(`{"_class_name": "AutoencoderTiny"}`, as("diffusion_pytorch_model.safetensors", layout("diffusers-tiny",
		""))),
		taken, nil},
	{"a pipeline's folder", "refiner", folder(newer), taken, nil},
	{"a folder of a VAE", "refiner", of(folder(usual), "vae"), refused, []string{"refiner"}},
}

var unetFields = []field{
	{"original, with the checkpoint's prefix", "unet", original(without(ldmVAE, "conditioner.")), same, nil},
	{"original, bare", "unet", original(only(ldmUNet)), same, nil},
	{"original, under diffusion_model", "unet", original(only("model."), without(ldmVAE)), same, nil},
	{"original, under model", "unet", original(only(ldmUNet), prefix("", "model.")), same, nil},
	{"original, under net", "unet", original(only(ldmUNet), prefix("", "net.")), same, nil},
	{"diffusers, bare", "unet", diffusers(only("unet.")), same, nil},
	{"diffusers, under unet", "unet", diffusers(without("vae.", "text_encoder")), same, nil},
	{"diffusers, from torch.compile", "unet", diffusers(only("unet."), prefix("", "_orig_mod.")), same, nil},
	{"diffusers, from FSDP", "unet", diffusers(only("unet."), prefix("", "_fsdp_wrapped_module.")), same, nil},
	{"a whole checkpoint", "unet", original(), same, nil},
	{"ComfyUI-GGUF, in F16", "unet", func(k *kit) string {
		return k.save("file.gguf", changed(k.nano, []change{only(ldmUNet), reshaped, states("general.architecture", "sdxl")}))
	}, same, nil},
	{"Stable Diffusion 1.5", "unet", tensorsOf(oldUNet(768)...), refused, []string{"Stable Diffusion 1.x"}},
	{"a VAE", "unet", original(only(ldmVAE)), refused, []string{"unet", "kind vae"}},
}

var vaeFields = []field{
	{"original, with the checkpoint's prefix", "vae", original(without(ldmUNet, "conditioner.")), same, nil},
	{"original, bare", "vae", original(only(ldmVAE)), same, nil},
	{"original, with the training's loss", "vae", original(only(ldmVAE), with("loss.logvar", "F32"), with("loss.discriminator.main.0.weight",
		"F16", 4)),
		noted, nil},
	{"original, under vae", "vae", original(only(ldmVAE), prefix("", "vae.")), same, nil},
	{"diffusers, as the library names them", "vae", layout("diffusers-vae", "vae"), same, nil},
	{"diffusers of before 0.18: query, key, value", "vae", diffusers(only("vae."), replaced(".to_q.", ".query.", ".to_k.", ".key.", ".to_v.",
		".value.",
		".to_out.0.", ".proj_attn.")), same, nil},
	{"diffusers of before 0.18, attention as convolutions", "vae", original(only(ldmVAE)), same, nil},
	{"no attention in the middle", "vae", layout("diffusers-vae-plain", "vae"), taken, nil},
	{"GGUF", "vae", func(k *kit) string { return k.save("file.gguf", changed(k.nano, []change{only(ldmVAE)})) }, same, nil},
	{"a whole checkpoint", "vae", diffusers(), same, nil},
	{"Stable Diffusion 3 and Flux: 16 channels", "vae", original(only(ldmVAE), without("decoder.conv_in.weight", "post_quant"),
		with("decoder.conv_in.weight", "F16", 64, 16, 3, 3)), refused, []string{"16 latent channels"}},
	{"one of the attention's tensors is missing", "vae", original(only(ldmVAE), without("decoder.mid.attn_1.k.weight")), refused,
		[]string{"decoder.mid.attn_1.k.weight"}},
	{"a TAESD", "vae", layout("diffusers-tiny", ""), refused, []string{"TAESD"}},
}

var textFields = []field{
	{"transformers from 5.6 on", "text_encoder", layout("transformers-text_encoder", "text_encoder"), same, nil},
	{"transformers before", "text_encoder", diffusers(only("text_encoder.")), same, nil},
	{"CLIP-L with its vision side", "text_encoder", layout("transformers-clip", "text_encoder"), noted, nil},
	{"under text_encoder", "text_encoder", diffusers(without("unet.", "vae.", "text_encoder_2")), same, nil},
	{"under clip_l.transformer", "text_encoder", diffusers(only("text_encoder."), prefix("", "clip_l.transformer.")), same, nil},
	{"under te", "text_encoder", diffusers(only("text_encoder."), prefix("", "te.")), same, nil},
	{"transformers", "text_encoder_2", layout("transformers-text_encoder_2", "text_encoder_2"), same, nil},
	{"OpenCLIP's own file", "text_encoder_2", original(only(ldmClip), with("visual.conv1.weight", "F16", 4, 3, 2, 2), with("logit_scale",
		"F32")), noted,
		nil},
	{"under text_encoder.2", "text_encoder_2", diffusers(only("text_encoder_2."), prefix("", "text_encoder.2.")), same, nil},
	{"under te2", "text_encoder_2", diffusers(only("text_encoder_2."), prefix("", "te2.")), same, nil},
	{"GGUF, the projection inside text_model", "text_encoder_2", func(k *kit) string {
		return k.save("file.gguf", changed(k.canonical, []change{only("text_encoder_2."), prefix("text_projection",
			"text_model.text_projection")}))
	}, same, nil},
	{"T5", "text_encoder", tensorsOf(with("encoder.block.0.layer.0.SelfAttention.q.weight", "F16", 8, 8)), refused, []string{"text_encoder"}},
	{"a VAE", "text_encoder_2", original(only(ldmVAE)), refused, []string{"text_encoder_2"}},
}

// nets are files of networks that are models of their own.
var netFields = []field{
	{"diffusers", "controlnet", written("file.safetensors", synth.Options{Kind: synth.KindNanoControl, Layout: modelfile.LayoutDiffusers}),
		taken, nil},
	{"original", "controlnet", written("file.safetensors", synth.Options{Kind: synth.KindNanoControl}), taken, nil},
	{"Union", "controlnet", func(k *kit) string {
		k.more = `union_type = "canny"`
		return written("file.safetensors", synth.Options{Kind: synth.KindNanoUnion})(k)
	}, taken, nil},
	{"torch.save", "controlnet", written("file.pth", synth.Options{Kind: synth.KindNanoControl}), taken, nil},
	{"its folder", "controlnet", func(k *kit) string {
		net := synth.Options{Kind: synth.KindNanoControl, Layout: modelfile.LayoutDiffusers}
		return lone(`{"_class_name": "ControlNetModel"}`, written("diffusion_pytorch_model.safetensors", net))(k)
	}, taken, nil},
	{"for Stable Diffusion 1.5", "controlnet", oldNet, refused, []string{"Stable Diffusion 1.x"}},
	{"Control-LoRA", "controlnet", tensorsOf(with("lora_controlnet", "F32"), with("input_hint_block.0.weight", "F16", 16, 3, 3, 3),
		with("input_blocks.1.0.in_layers.2.up", "F16", 4, 2), with("input_blocks.1.0.in_layers.2.down", "F16", 2, 4)), refused,
		[]string{"a Control-LoRA"}},
	{"T2I-Adapter", "controlnet", tensorsOf(with("adapter.conv_in.weight", "F16", 4, 4, 3, 3)), refused, []string{"no model known here"}},
	{"IP-Adapter", "controlnet", tensorsOf(with("image_proj.proj.weight", "F16", 4, 4), with("ip_adapter.1.to_k_ip.weight", "F16", 4, 4)),
		refused,
		[]string{"an IP-Adapter, which goes beside a model"}},
	{"a base", "controlnet", original(), refused, []string{"a ControlNet, a ControlNet-XS or a T2I-Adapter for SDXL"}},

	{"SDXL's refiner", "refiner", written("file.safetensors", synth.Options{Kind: synth.KindNanoRefiner}), taken, nil},
	{"SDXL's refiner, diffusers' names", "refiner", written("file.safetensors", synth.Options{Kind: synth.KindNanoRefiner,
		Layout: modelfile.LayoutDiffusers}), taken, nil},
	{"another base", "refiner", diffusers(), taken, nil},
	{"a VAE", "refiner", original(only(ldmVAE)), refused, []string{"an SDXL refiner"}},

	{"diffusers, as the library names them", "taesd", layout("diffusers-tiny", ""), taken, nil},
	{"the decoder's own file", "taesd", bareTiny("decoder", 1), taken, nil},
	{"the encoder's own file", "taesd", bareTiny("encoder", 0), refused, []string{"no decoder"}},
	{"a VAE", "taesd", original(only(ldmVAE)), refused, []string{"TAESD-XL"}},

	{"ESRGAN's old names", "upscaler", written("file.safetensors", synth.Options{Kind: synth.KindESRGAN, Dims: tinyESRGAN}), taken, nil},
	{"BasicSR", "upscaler", written("file.safetensors", synth.Options{Kind: synth.KindESRGAN, Dims: tinyESRGAN,
		Layout: modelfile.LayoutDiffusers}), taken,
		nil},
	{"BasicSR in torch.save", "upscaler", written("file.pth", synth.Options{Kind: synth.KindESRGAN, Dims: tinyESRGAN,
		Layout: modelfile.LayoutDiffusers}), taken, nil},
	{"SwinIR", "upscaler", tensorsOf(with("layers.0.residual_group.blocks.0.norm1.weight", "F16", 4)), refused,
		[]string{"no model known here"}},
}

var tinyESRGAN = &modelfile.Dims{Upscaler: &modelfile.UpscalerDims{InChannels: 3, Channels: 8, Growth: 4, Blocks: 2, Upsamplings: 2}}

// oldNet is a ControlNet for Stable Diffusion 1.5.
func oldNet(k *kit) string {
	dims := modelfile.Preset("nano-controlnet")
	dims.ControlNet.UNet.LabelDim, dims.ControlNet.UNet.ContextDim = 0, 768
	return written("file.safetensors", synth.Options{Kind: synth.KindNanoControl, Dims: &dims})(k)
}

// bareTiny is half of a TAESD as its author publishes it, whose layers are bare numbers from first on.
func bareTiny(side string, first int) func(*kit) string {
	return layout("diffusers-tiny", "", only(side+".layers."), names(func(n string) string {
		number, rest, _ := strings.Cut(n, ".")
		place, _ := strconv.Atoi(number) // as the library numbers them
		return fmt.Sprintf("%d.%s", place+first, rest)
	}))
}
