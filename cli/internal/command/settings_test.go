package command

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// fileOnly lists the keys that have no flag: tables and pairs.
var fileOnly = []string{
	"guidance", "guidance.momentum", "guidance.norm_threshold", "guidance.eta", "guidance.zero_init_steps",
	"pag", "pag.adaptive_scale", "pag.applied_layers", "pag.start", "pag.end",
	"seg", "seg.blur_sigma", "seg.applied_layers", "seg.start", "seg.end", "freeu", "freeu.s1", "freeu.s2", "freeu.b1", "freeu.b2",
	"inpaint", "outpaint", "hires", "tiled_diffusion", "reuse", "force_zeros_for_empty_prompt", "scheduler_options", "original_size", "crops_coords_top_left",
	"target_size", "negative_original_size", "negative_crops_coords_top_left", "negative_target_size",
	"lora.name", "lora.path", "lora.weight", "lora.scaling_factor", "lora.enabled", "lora.unet_weight", "lora.text_encoder_weight",
	"lora.block_weights",
	"controlnet.model", "controlnet.image", "controlnet.weight", "controlnet.start", "controlnet.end", "controlnet.control_mode",
	"controlnet.resize_mode", "controlnet.preprocessor", "controlnet.preprocessor_options", "controlnet.union_type", "controlnet.union_joined",
	"ip_adapter.model", "ip_adapter.image_encoder", "ip_adapter.images", "ip_adapter.embeds", "ip_adapter.faces", "ip_adapter.save_embeds",
	"ip_adapter.weight", "ip_adapter.block_weights", "ip_adapter.start", "ip_adapter.end", "ip_adapter.masks", "ip_adapter.shortcut",
	"detail.prompt", "detail.negative_prompt", "detail.box", "detail.mask", "detail.strength", "detail.blur", "detail.padding",
	"detail.width", "detail.height", "detail.steps",
	"detail.detector", "detail.confidence", "detail.classes", "detail.largest", "detail.dilation",
	"region.prompt", "region.box", "region.mask", "region.weight",
	"model.text_cache_mb", "model.weight_cache_mb", "model.controlnet_cache_mb", "model.memory", "model.memory.max_batch",
	"lora.start", "lora.end", "lora_stack", "lora_stack.max_adapters", "lora_stack.global_weight", "lora_stack.global_scaling_factor",
	"model.lora_cache", "model.lora_cache.cache_size", "model.lora_cache.cache_cleanup_threshold", "model.lora_cache.idle_seconds",
}

// TestEveryKeyHasAFlag makes sure that no key of a run file is forgotten on the command line.
func TestEveryKeyHasAFlag(t *testing.T) {
	known := map[string]bool{}
	for _, k := range fileOnly {
		known[k] = true
	}
	for _, s := range settings {
		assert.False(t, known[s.key], "%s occurs twice", s.key)
		known[s.key] = true
	}
	for _, k := range request.Keys() {
		id := k.Name
		if k.Table != "" {
			id = k.Table + "." + id
		}
		assert.True(t, known[id], "%s has no flag and is not in fileOnly", id)
		delete(known, id)
	}
	assert.Empty(t, known, "flags of keys that do not exist")
}

// TestFlagsOverrideEveryField sets every flag and looks at the field it is meant for.
func TestFlagsOverrideEveryField(t *testing.T) {
	b := newBench(t)
	in := t.TempDir()
	require.Equal(t, ExitOK, b.run(small("-o", filepath.Join(in, "i.png"))...), b.stderr)
	require.Equal(t, ExitOK, b.run("generate", "--model", "nano", "-p", "x", "--prompt-2", "y", "--negative-prompt", "z",
		"--negative-prompt-2", "w",
		"-s", "3", "-n", "1", "-W", "64", "-H", "72", "--num-inference-steps", "4", "--guidance-scale", "0", "--guidance-rescale", "0.5",
		"--scheduler", "euler", "--clip-skip", "1", "--image", filepath.Join(in, "i.png"), "--strength", "0.9",
		"--precision", "exact", "--type", "q8_0", "--vae-type", "f32", "--device", "cpu", "-t", "2", "--flash-attention", "off",
		"--batch", "2", "--guidance-batch", "separate", "-o", b.path("x.png")), b.stderr)
	opened := b.backend.Opened()
	cfg := opened[len(opened)-1]
	assert.Equal(t, backend.PrecisionExact, cfg.Precision)
	assert.Equal(t, backend.TypeQ8_0, cfg.UNetType)
	assert.Equal(t, backend.TypeF32, cfg.VAEType)
	assert.Equal(t, "cpu", cfg.Device)
	assert.Equal(t, 2, cfg.Threads)
	assert.Equal(t, "off", cfg.FlashAttention)
	_, text := readPNG(t, b.path("x.png"))
	var m map[string]any
	require.NoError(t, json.Unmarshal([]byte(text["daguerre"]), &m))
	for key, want := range map[string]any{"prompt": "x", "prompt_2": "y", "negative_prompt": "z", "negative_prompt_2": "w", "seed": 3.0,
		"width": 64.0, "height": 72.0, "num_inference_steps": 4.0, "guidance_scale": 1.0, "guidance_rescale": 0.5, "clip_skip": 1.0,
		"init_image": "i.png", "strength": 0.9} {
		assert.Equal(t, want, m[key], key)
	}
}

// TestEmptyNegativePromptFlag: --negative-prompt "" is an empty text, which is encoded, and not the same as no flag.
func TestEmptyNegativePromptFlag(t *testing.T) {
	b := newBench(t)
	for flag, zeros := range map[string]bool{"": true, "--negative-prompt=": false, "--negative-prompt=grey": true} {
		args := small("-o", b.path("x.png"), "--overwrite")
		if flag != "" {
			args = append(args, flag)
		}
		require.Equal(t, ExitOK, b.run(args...), b.stderr)
		_, text := readPNG(t, b.path("x.png"))
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(text["daguerre"]), &m))
		assert.Equal(t, zeros, m["force_zeros_for_empty_prompt"], flag)
	}
}
