package e2e

import (
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/modeltest"
)

// fp8 is the nano model as scaled FP8, after changes.
func fp8(s modeltest.Scaling, changes ...change) func(*kit) string {
	return func(k *kit) string { return k.save("file.safetensors", changed(k.fp8(s), changes)) }
}

func (k *kit) fp8(s modeltest.Scaling) *tensors {
	f := &modeltest.File{Metadata: k.nano.metadata}
	for _, n := range k.nano.names {
		f.Tensors = append(f.Tensors, modeltest.Tensor{Name: n, DType: modelfile.DType(k.nano.dtype[n]), Shape: k.nano.shape[n],
			Data: k.nano.data[n]})
	}
	scaled, _ := f.Scaled(k.t, s)
	x := changed(&tensors{metadata: scaled.Metadata}, nil)
	for _, t := range scaled.Tensors {
		x.add(t.Name, string(t.DType), t.Shape, t.Data)
	}
	return x
}

// holds adds a tensor of values.
func holds(t modeltest.Tensor) change {
	return func(x *tensors) { x.add(t.Name, string(t.DType), t.Shape, t.Data) }
}

// numbers adds a tensor of F32.
func numbers(name string, shape []int64, values ...float32) change {
	return holds(modeltest.Floats(name, modelfile.F32, shape, values...))
}

// saysIn adds a tensor of text.
func saysIn(name, text string) change {
	return holds(modeltest.Tensor{Name: name, DType: modelfile.U8, Shape: []int64{int64(len(text))}, Data: []byte(text)})
}

// strangers takes out of the metadata what only files of daguerre's say: scheduler and scaling.
var strangers = states(modelfile.MetadataKey, `{"unet":{"norm_num_groups":4},"vae":{"norm_num_groups":2}}`)

// told makes a UNet one that is told the guidance scale.
func told(prefix string) change {
	return holds(modeltest.GuidanceProjection(prefix + "cond_proj.weight"))
}

// playground are the markers of Playground v2.5, cosXL those of CosXL.
func playground(x *tensors) {
	numbers("edm_mean", []int64{1, 4, 1, 1}, -1.6574, 1.886, -1.383, 2.5155)(x)
	numbers("edm_std", []int64{1, 4, 1, 1}, 8.4927, 5.9022, 6.5498, 5.2299)(x)
}

func cosXL(x *tensors) {
	numbers("edm_vpred.sigma_max", nil, 120)(x)
	numbers("edm_vpred.sigma_min", nil, 0.002)(x)
}

// renamed gives one tensor a name that nothing asks for.
func renamed(name string) change { return replaced(name, name+"_old") }

// The modules that rows change, in the original layout.
const (
	ldmBlock  = ldmUNet + "input_blocks.4.1.transformer_blocks.0."
	ldmQuery  = ldmBlock + "attn1.to_q"
	ldmMiddle = ldmUNet + "middle_block.0."
	ldmLayer  = ldmText + "text_model.encoder.layers.0."
	dotScale  = ".weight_scale"
)

var scaledFields = []field{
	{"ComfyUI until 2025, with scale_input", "model", fp8(modeltest.Scaling{Marker: ldmUNet + "scaled_fp8", Activation: ".scale_input",
		Shape: []int64{1}}), taken, nil},
	{"no marker", "model", fp8(modeltest.Scaling{}), taken, nil},
	{"ComfyUI since, by tensors", "model", fp8(modeltest.Scaling{Ending: dotScale, Tensors: true, Activation: ".input_scale"}), taken, nil},
	{"ComfyUI since, by metadata", "model", fp8(modeltest.Scaling{Ending: dotScale, Metadata: true}), taken, nil},
	{"FP8 in bytes", "model", fp8(modeltest.Scaling{Ending: dotScale, Metadata: true, Bytes: true}), taken, nil},
	{"compressed-tensors, by rows", "model", fp8(modeltest.Scaling{Ending: dotScale, Rows: true, Shape: []int64{-1, 1}}), taken, nil},
	{"transformers", "model", fp8(modeltest.Scaling{Ending: ".weight_scale_inv"}), taken, nil},
	{"a scale below the weight", "model", fp8(modeltest.Scaling{Ending: ".weight.scale", Scale: modelfile.F16}), taken, nil},
	{"E5M2", "model", fp8(modeltest.Scaling{Type: modelfile.F8E5M2, Ending: dotScale, Tensors: true}), taken, nil},
	{"UNet alone", "unet", fp8(modeltest.Scaling{Marker: ldmUNet + "scaled_fp8"}, only(ldmUNet)), taken, nil},
	{"UNet alone, by tensors", "unet", fp8(modeltest.Scaling{Ending: dotScale, Tensors: true}, only(ldmUNet)), taken, nil},
	{"text encoder alone", "text_encoder", fp8(modeltest.Scaling{Marker: ldmText + "scaled_fp8"}, only(ldmText)), taken, nil},

	{"an orphan scale", "model", original(numbers(ldmQuery+".scale_weight", nil, 2)), refused, []string{ldmQuery, "it is not clear"}},
	{"a scale without its matrix", "model", fp8(modeltest.Scaling{}, without(ldmQuery+".weight")), refused, []string{ldmQuery + ".weight",
		"which is missing"}},
	{"NVFP4", "model", fp8(modeltest.Scaling{}, saysIn(ldmQuery+".comfy_quant", `{"format":"nvfp4"}`)), refused, []string{ldmQuery,
		`quantized as "nvfp4"`}},
	{"int8", "model", fp8(modeltest.Scaling{}, saysIn(ldmQuery+".comfy_quant", `{"format":"int8_tensorwise"}`)), refused,
		[]string{ldmQuery, `quantized as "int8_tensorwise"`}},
	{"int8 without a word", "model", original(without(ldmQuery+".weight"), with(ldmQuery+".weight", modelfile.I8, 64, 64),
		numbers(ldmQuery+dotScale, nil, 1)), refused, []string{ldmQuery, "I8"}},
	{"a second scale, as of NVFP4", "model", fp8(modeltest.Scaling{}, numbers(ldmQuery+".weight_scale_2", nil, 1)), refused,
		[]string{ldmQuery + ".weight_scale_2"}},
}

var trainedFields = []field{
	{"LCM-SDXL", "model", original(strangers, told(ldmUNet+"time_embedding.")), taken, nil},
	{"LCM-SDXL, original name", "model", original(strangers, told(ldmUNet+"time_embed.")), taken, nil},
	{"LCM-SDXL, GGUF", "model", gguf(strangers, told(ldmUNet+"time_embedding.")), taken, nil},
	{"LCM-SDXL's own folder", "unet", lone(`{"_class_name": "UNet2DConditionModel", "norm_num_groups": 4, "time_cond_proj_dim": 256}`,
		as("diffusion_pytorch_model.safetensors", diffusers(strangers, only("unet."), told("time_embedding.")))), taken, nil},
	{"LCM-SDXL in a folder whose scheduler is Euler", "model", folder(func(c string) (string, []change) {
		if c == "unet" {
			return stem(c) + ".safetensors", []change{strangers, told("time_embedding.")}
		}
		return usual(c)
	}), warned, []string{"distilled for few steps of the scheduler LCM"}},
	{"LCM-SDXL's UNet alone", "unet", original(strangers, only(ldmUNet), told("time_embedding.")), taken, nil},
	{"LCM-SDXL's UNet alone, diffusers' names", "unet", diffusers(strangers, only("unet."), told("time_embedding.")), taken, nil},
	{"Playground v2.5", "model", original(strangers, playground), taken, nil},
	{"Playground v2.5, its UNet alone", "unet", original(strangers, only(ldmUNet), playground), taken, nil},
	{"Playground v2.5, half of the markers", "model", original(strangers, numbers("edm_mean", []int64{4}, 1, 1, 1, 1)), refused,
		[]string{"edm_std", "missing"}},
	{"Playground v2.5, a deviation of 0", "model", original(strangers, numbers("edm_mean", []int64{4}, 1, 1, 1, 1),
		numbers("edm_std", []int64{4}, 1, 1, 0, 1)), refused, []string{"edm_std", "not positive"}},
	{"CosXL", "model", original(strangers, cosXL), taken, nil},
	{"CosXL, its UNet alone", "unet", original(strangers, only(ldmUNet), cosXL), taken, nil},
	{"CosXL, a level of 0", "model", original(strangers, numbers("edm_vpred.sigma_max", nil, 0)), refused, []string{"edm_vpred.sigma_max",
		"not a positive number"}},
}

var tensorFields = []field{
	{"a text layer's layer_norm1 renamed", "model", original(renamed(ldmLayer + "layer_norm1.weight")), refused,
		[]string{"layers.0.layer_norm1.weight"}},
	{"a block's norm1 renamed", "model", original(renamed(ldmBlock + "norm1.weight")), refused, []string{ldmBlock + "norm1.weight"}},
	{"the middle's in_layers.2 renamed", "model", original(renamed(ldmMiddle + "in_layers.2.weight")), refused,
		[]string{ldmMiddle + "in_layers.2.weight"}},
	{"post_quant_conv renamed", "model", original(renamed(ldmVAE + "post_quant_conv.weight")), refused, []string{"post_quant_conv.weight"}},
	{"a second norm", "model", original(with(ldmBlock+"norm4.weight", "F16", 64)), refused, []string{ldmBlock + "norm4.weight"}},
	{"norms of queries", "model", original(with(ldmBlock+"attn1.norm_q.weight", "F16", 64)), refused, []string{"attn1.norm_q.weight"}},
	{"a bias where SDXL has none", "model", original(with(ldmQuery+".bias", "F16", 64)), refused, []string{ldmQuery + ".bias"}},
	{"an IP-Adapter left in a merge", "model", original(with(ldmBlock+"attn2.to_k_ip.weight", "F16", 64, 64)), refused,
		[]string{"attn2.to_k_ip.weight", "IP-Adapter"}},
	{"an IP-Adapter left in a UNet", "unet", diffusers(only("unet."), with("encoder_hid_proj.image_embeds.weight", "F16", 8, 8)), refused,
		[]string{"encoder_hid_proj"}},
	{"AnimateDiff's motion modules", "model", original(with(ldmUNet+"input_blocks.4.motion_modules.0.norm.weight", "F16", 64)), refused,
		[]string{"motion_modules", "temporal module"}},
	{"a temporal decoder, of a model for videos", "vae", original(only(ldmVAE), with("decoder.time_stack.0.weight", "F16", 8)), refused,
		[]string{"time_stack", "temporal module"}},
	{"Long-CLIP's positions", "text_encoder", diffusers(only("text_encoder."),
		with("text_model.embeddings.position_embedding_res.weight", "F16", 248, 64)), refused, []string{"position_embedding_res", "Long-CLIP"}},
	{"GLIGEN's boxes", "unet", diffusers(only("unet."), with("position_net.null_positive_feature", "F16", 8)), refused,
		[]string{"position_net", "GLIGEN"}},
	{"counters of training", "vae", original(only(ldmVAE), with("encoder.num_batches_tracked", "I64")), noted, []string{"counters"}},
}
