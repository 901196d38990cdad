package synth

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/daguerre-go/daguerre/internal/disk"
	"github.com/daguerre-go/daguerre/internal/fault"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
	"github.com/daguerre-go/daguerre/internal/rename"
)

// WriteFolder writes a diffusers folder: model_index.json and, for each component, config.json and
// weights. Tokenizer files are not written, since Daguerre has its own. The folder must not exist; it
// appears when complete.
func WriteFolder(ctx context.Context, dir string, opt Options) (err error) {
	p, err := newPlan(opt)
	if err != nil {
		return err
	}
	if p.dims.ControlNet != nil || p.dims.TAESD != nil || p.dims.Upscaler != nil {
		return fmt.Errorf("%w: kind %s is one file; name it without a slash at its end", ErrOptions, opt.Kind)
	}
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("%w: %s exists; name a new folder", ErrOptions, dir)
	}
	f := &filler{ctx: ctx, seed: opt.Seed, progress: opt.Progress, total: total(p.all())}
	if err := disk.CheckSpace(filepath.Dir(dir), f.total); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(tmp)
		}
	}()
	return fault.Catch(func() {
		p.writeFolder(tmp, f)
		fault.Check(os.Chmod(tmp, 0o755))
		fault.Check(rename.Replace(tmp, dir))
	})
}

func (p *plan) writeFolder(dir string, f *filler) {
	index := map[string]any{"_class_name": "StableDiffusionXLPipeline", "scheduler": []string{"diffusers", "EulerDiscreteScheduler"}}
	if p.config.ForceZerosForEmptyPrompt != nil {
		index["force_zeros_for_empty_prompt"] = *p.config.ForceZerosForEmptyPrompt
	}
	for _, name := range components {
		prefix := ""
		if name == "text_encoder" || name == "text_encoder_2" {
			prefix = "text_model."
		}
		items := p.component(name, modelfile.LayoutDiffusers, prefix)
		if len(items) == 0 {
			continue
		}
		config, library, class, stem := p.componentConfig(name)
		index[name] = []string{library, class}
		sub := filepath.Join(dir, name)
		writeJSON(filepath.Join(sub, "config.json"), config)
		if p.opt.Variant != "" {
			stem += "." + p.opt.Variant
		}
		fault.Check(writer.Atomically(filepath.Join(sub, stem+".safetensors"), func(w io.Writer) error {
			return writeFile(w, modelfile.FormatSafetensors, items, map[string]string{"format": "pt"}, f)
		}, nil))
	}
	writeJSON(filepath.Join(dir, "scheduler", "scheduler_config.json"), p.schedulerConfig())
	writeJSON(filepath.Join(dir, "model_index.json"), index)
}

// writeJSON writes a file, and its folder where there is none.
func writeJSON(path string, v any) {
	b := fault.Value(json.MarshalIndent(v, "", "  "))
	fault.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	fault.Check(os.WriteFile(path, append(b, '\n'), 0o644))
}

// componentConfig returns config.json, the library, the class and the stem of the weights' file name.
func (p *plan) componentConfig(name string) (config map[string]any, library, class, stem string) {
	switch name {
	case "unet":
		return p.unetConfig(), "diffusers", "UNet2DConditionModel", "diffusion_pytorch_model"
	case "vae":
		return p.vaeConfig(), "diffusers", "AutoencoderKL", "diffusion_pytorch_model"
	case "text_encoder":
		return textConfig(p.dims.TextEncoder, p.config.TextEncoder, "CLIPTextModel", "quick_gelu"), "transformers", "CLIPTextModel", "model"
	}
	return textConfig(p.dims.TextEncoder2, p.config.TextEncoder2, "CLIPTextModelWithProjection", "gelu"), "transformers",
		"CLIPTextModelWithProjection", "model"
}

func (p *plan) unetConfig() map[string]any {
	u := p.dims.UNet
	head := cmp.Or(p.config.UNet.HeadDim, 64)
	var down, up []string
	var depth, heads []int
	for l, ch := range u.Channels {
		d, w := "DownBlock2D", "UpBlock2D"
		if u.DownDepth[l][0] > 0 {
			d, w = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"
		}
		down, up = append(down, d), append([]string{w}, up...)
		depth, heads = append(depth, max(1, u.DownDepth[l][0])), append(heads, max(1, ch/head))
	}
	if u.MiddleDepth > 0 {
		depth[len(depth)-1] = u.MiddleDepth // diffusers takes the middle's depth from the last level
	}
	return map[string]any{
		"_class_name": "UNet2DConditionModel", "in_channels": u.InChannels, "out_channels": u.OutChannels,
		"block_out_channels": u.Channels, "layers_per_block": u.Resnets[0], "down_block_types": down, "up_block_types": up,
		"transformer_layers_per_block": depth, "attention_head_dim": heads, "cross_attention_dim": u.ContextDim,
		"use_linear_projection": true, "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
		"projection_class_embeddings_input_dim": u.LabelDim, "norm_num_groups": cmp.Or(p.config.UNet.NormNumGroups, 32),
		"sample_size": cmp.Or(p.config.UNet.SampleSize, cmp.Or(p.config.Default.Width, 1024)/8),
	}
}

func (p *plan) vaeConfig() map[string]any {
	v := p.dims.VAE
	down := slices.Repeat([]string{"DownEncoderBlock2D"}, len(v.EncoderChannels))
	up := slices.Repeat([]string{"UpDecoderBlock2D"}, len(v.DecoderChannels))
	upcast := true
	if p.config.VAE.ForceUpcast != nil {
		upcast = *p.config.VAE.ForceUpcast
	}
	config := map[string]any{
		"_class_name": "AutoencoderKL", "in_channels": 3, "out_channels": 3, "latent_channels": v.LatentChannels,
		"block_out_channels": v.EncoderChannels, "layers_per_block": v.EncoderResnets, "down_block_types": down, "up_block_types": up,
		"norm_num_groups": cmp.Or(p.config.VAE.NormNumGroups, 32), "scaling_factor": cmp.Or(p.config.VAE.ScalingFactor, 0.13025),
		"force_upcast": upcast, "sample_size": cmp.Or(p.config.Default.Width, 1024), "act_fn": "silu",
	}
	if v.NoAttention {
		config["mid_block_add_attention"] = false
	}
	return config
}

func textConfig(t *modelfile.TextDims, c modelfile.TextEncoderConfig, class, act string) map[string]any {
	return map[string]any{
		"architectures": []string{class}, "model_type": "clip_text_model", "vocab_size": t.VocabSize, "hidden_size": t.Width,
		"intermediate_size": t.Intermediate, "num_hidden_layers": t.Layers, "num_attention_heads": max(1, t.Width/cmp.Or(c.HeadDim, 64)),
		"max_position_embeddings": t.MaxTokens, "projection_dim": cmp.Or(t.ProjectionDim, t.Width),
		"hidden_act": cmp.Or(c.HiddenAct, act), "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1, "layer_norm_eps": 1e-5,
	}
}

// schedulerConfig is SDXL's own, with what the Config states.
func (p *plan) schedulerConfig() map[string]any {
	c := map[string]any{
		"_class_name": "EulerDiscreteScheduler", "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012,
		"beta_schedule": "scaled_linear", "prediction_type": "epsilon", "interpolation_type": "linear", "use_karras_sigmas": false,
		"timestep_spacing": "leading", "steps_offset": 1,
	}
	s := p.config.Scheduler
	if s.PredictionType != "" {
		c["prediction_type"] = s.PredictionType
	}
	if s.RescaleBetasZeroSNR != nil {
		c["rescale_betas_zero_snr"] = *s.RescaleBetasZeroSNR
	}
	if s.TimestepSpacing != "" {
		c["timestep_spacing"] = s.TimestepSpacing
	}
	return c
}
