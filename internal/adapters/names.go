package adapters

import (
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// prefixes are what files write before a module's name, dots written as underscores, longer ones before their own
// beginnings. SDXL's layouts: kohya and LyCORIS (lora_unet_, lora_te1_, lora_te2_), diffusers and PEFT (unet.,
// text_encoder., text_encoder_2.), OneTrainer's (lora_te1.; clip_l., clip_g. in its later format), ComfyUI's and
// ai-toolkit's (diffusion_model.), and checkpoints' own.
var prefixes = func() (out []prefix) {
	for component, texts := range map[string]string{
		lora.UNet: "lora_unet_ oft_unet_ lycoris_unet_ lycoris_ unet_ model_diffusion_model_ diffusion_model_",
		lora.TextEncoder: "lora_te1_ lora_te_ lycoris_te1_ text_encoder_ text_encoders_clip_l_transformer_ " + // lora_te_: a lone first encoder
			"conditioner_embedders_0_transformer_ clip_l_transformer_ clip_l_ te1_",
		lora.TextEncoder2: "lora_te2_ lycoris_te2_ text_encoder_2_ text_encoders_clip_g_transformer_ conditioner_embedders_1_model_ " +
			"clip_g_transformer_ clip_g_ te2_",
	} {
		for _, text := range strings.Fields(texts) {
			out = append(out, prefix{text, component})
		}
	}
	slices.SortFunc(out, func(a, b prefix) int { return len(b.text) - len(a.text) })
	return out
}()

type prefix struct{ text, component string }

// index finds a model's modules under every name that files use for them.
type index struct {
	modules map[string]backend.Module
	blocks  map[string]string            // canonical name -> "IN04", "M00", "OUT11", "BASE"
	flat    map[string]map[string]string // component -> name with underscores -> canonical name
}

// newIndex makes the index of a model's modules. The VAE's are left out: no adapter changes them.
func newIndex(modules []backend.Module) *index {
	x := &index{modules: make(map[string]backend.Module, len(modules)), blocks: map[string]string{},
		flat: map[string]map[string]string{lora.UNet: {}, lora.TextEncoder: {}, lora.TextEncoder2: {}}}
	original := originals(modules)
	type alias struct{ component, name, canonical string }
	var aliases []alias
	for _, m := range modules {
		component, rest, ok := strings.Cut(m.Name, ".")
		if !ok || x.flat[component] == nil {
			continue
		}
		x.modules[m.Name] = m
		x.flat[component][flatten(rest)] = m.Name
		if component == lora.UNet {
			x.blocks[m.Name] = blockName(original[m.Name])
			aliases = append(aliases, alias{component, original[m.Name], m.Name},
				alias{component, strings.Replace(rest, ".to_out.0", ".to_out", 1), m.Name})
			continue
		}
		x.blocks[m.Name] = blockBase
		for _, name := range textAliases(rest) {
			aliases = append(aliases, alias{component, name, m.Name})
		}
	}
	for name, module := range faceNames(modules) {
		aliases = append(aliases, alias{lora.UNet, name, module})
	}
	for _, a := range aliases { // canonical names have precedence
		if name := flatten(a.name); name != "" && x.flat[a.component][name] == "" {
			x.flat[a.component][name] = a.canonical
		}
	}
	return x
}

func flatten(name string) string { return strings.ReplaceAll(name, ".", "_") }

// find returns the module that a file calls name, and the component that the name speaks of even where it has no such
// module ("" where it does not say).
func (x *index) find(name string) (m backend.Module, component string, ok bool) {
	flat := strings.TrimPrefix(flatten(name), "base_model_model_")
	rest := flat
	for _, p := range prefixes {
		if after, found := strings.CutPrefix(flat, p.text); found {
			component, rest = p.component, strings.TrimPrefix(after, "base_model_model_")
			break
		}
	}
	rest = strings.Replace(rest, "_processor_", "_", 1)
	try := []string{component}
	if component == "" { // a component's own file: a UNet, or a text encoder
		try = []string{lora.UNet, lora.TextEncoder, lora.TextEncoder2}
	}
	for _, c := range try {
		if canonical, found := x.flat[c][rest]; found {
			return x.modules[canonical], c, true
		}
	}
	return backend.Module{}, component, false
}

// textAliases are other names of a text encoder's module: without "text_model.", of attention processors
// before diffusers 0.17, and OpenCLIP's.
func textAliases(rest string) []string {
	bare := strings.TrimPrefix(rest, "text_model.")
	names := []string{bare}
	for from, to := range map[string]string{"self_attn.q_proj": "self_attn.to_q", "self_attn.k_proj": "self_attn.to_k",
		"self_attn.v_proj": "self_attn.to_v", "self_attn.out_proj": "self_attn.to_out"} {
		if strings.HasSuffix(rest, from) {
			names = append(names, strings.TrimSuffix(rest, from)+to)
		}
	}
	if layer, ok := strings.CutPrefix(bare, "encoder.layers."); ok {
		layer = strings.NewReplacer("self_attn.", "attn.", "mlp.fc1", "mlp.c_fc", "mlp.fc2", "mlp.c_proj", "layer_norm1", "ln_1",
			"layer_norm2", "ln_2").Replace(layer)
		names = append(names, "transformer.resblocks."+layer)
	}
	return names
}
