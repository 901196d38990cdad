package modelfile

import "strings"

// prefixes are the texts that programs write before the names of a component's tensors, by component. Everything that looks for a component
// reads this table. A longer prefix comes before its own beginning. A component's own file has the empty one. "open_clip" is the second
// text encoder with OpenCLIP's names. Prefixes of text encoders end before "text_model.", which newer files leave out.
var prefixes = map[string][]string{
	"unet": {"model.diffusion_model.", "model.unet.", "model.model.", "model.", "diffusion_model.", "unet.", "net.", ""},
	"vae":  {"model.first_stage_model.", "model.vae.", "model.", "first_stage_model.", "autoencoder.", "vae.", ""},
	"text_encoder": {"conditioner.embedders.0.transformer.", "cond_stage_model.0.transformer.", "cond_stage_model.transformer.",
		"text_encoders.clip_l.transformer.", "text_encoders.clip_l.", "clip_l.transformer.", "clip_l.", "text_encoder_1.", "text_encoder.1.",
		"text_encoder.", "te1.", "te_1.", "te."},
	"text_encoder_2": {"conditioner.embedders.1.transformer.", "cond_stage_model.1.transformer.", "text_encoders.clip_g.transformer.",
		"text_encoders.clip_g.", "clip_g.transformer.", "clip_g.", "text_encoder_2.", "text_encoder.2.", "te2.", "te_2."},
	"open_clip": {"conditioner.embedders.1.model.", "conditioner.embedders.0.model.", "cond_stage_model.1.model.", "cond_stage_model.model.",
		"text_encoders.clip_g.", "clip_g.", "text_encoder_2.model.", "text_encoder_2.", "text_encoder.2.", "te2.", "te_2.", "model.", ""},
	"controlnet":    {"control_model.", "controlnet_model.", "controlnet.", "model.", ""},
	"t2i_adapter":   {"adapter.", "t2i_adapter.", "t2iadapter.", "model.", ""},
	"image_encoder": {"image_encoder.", "clip_vision.", "model.", ""},
	"detector":      {"model.", "ema.", "state_dict.", ""},
	"upscaler":      {"params_ema.", "params.", "state_dict.", "model.", ""},
}

// wrappers are modules that training programs put around another module: torch.compile, DataParallel, FSDP and checkpointing. Their names
// are before a tensor's name or inside it, and mean nothing.
var wrappers = []string{"_orig_mod.", "module.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."}

// plainName is a tensor's name without wrappers.
func plainName(name string) string {
	for again := true; again; {
		again = false
		for _, w := range wrappers {
			if rest, ok := strings.CutPrefix(name, w); ok {
				name, again = rest, true
			}
		}
	}
	for _, w := range wrappers {
		name = strings.ReplaceAll(name, "."+w, ".")
	}
	return name
}
