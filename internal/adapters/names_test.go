package adapters

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// TestKeys maps one key of every layout.
func TestKeys(t *testing.T) {
	const (
		attention = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
		output    = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0"
		text      = "text_encoder.text_model.encoder.layers.1.self_attn.q_proj"
		text2     = "text_encoder_2.text_model.encoder.layers.0.mlp.fc1"
	)
	for key, want := range map[string]string{
		// kohya, in both of its UNet namings
		"lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight": attention,
		"lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.lora_up.weight":             attention,
		"lora_unet_middle_block_1_transformer_blocks_0_attn2_to_out_0.alpha":                    output,
		"lora_te1_text_model_encoder_layers_1_self_attn_q_proj.lora_down.weight":                text,
		"lora_te2_text_model_encoder_layers_0_mlp_fc1.hada_w1_a":                                text2,
		"lora_te_text_model_encoder_layers_1_self_attn_q_proj.lora_down.weight":                 text,
		"lora_unet_input_blocks_0_0.lora_down.weight":                                           "unet.conv_in",
		"lora_unet_out_2.lora_up.weight":                                                        "unet.conv_out",
		"lora_unet_time_embed_0.diff":                                                           "unet.time_embedding.linear_1",
		"lora_unet_label_emb_0_2.lora_mid.weight":                                               "unet.add_embedding.linear_2",
		"lora_unet_input_blocks_3_0_op.lora_down.weight":                                        "unet.down_blocks.0.downsamplers.0.conv",
		"lora_unet_output_blocks_2_2_conv.lora_down.weight":                                     "unet.up_blocks.0.upsamplers.0.conv",
		"lora_unet_output_blocks_5_2_conv.lora_down.weight":                                     "unet.up_blocks.1.upsamplers.0.conv",
		"lora_unet_output_blocks_8_0_skip_connection.lora_down.weight":                          "unet.up_blocks.2.resnets.2.conv_shortcut",
		"lora_unet_input_blocks_5_0_in_layers_2.lokr_w1":                                        "unet.down_blocks.1.resnets.1.conv1",
		"lora_unet_input_blocks_5_0_out_layers_0.w_norm":                                        "unet.down_blocks.1.resnets.1.norm2",
		"lora_unet_middle_block_2_emb_layers_1.on_input":                                        "unet.mid_block.resnets.1.time_emb_proj",
		"lora_unet_middle_block_0_out_layers_3.b_norm":                                          "unet.mid_block.resnets.0.conv2",
		// PEFT and diffusers
		"base_model.model.unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight": attention,
		"unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_B.default.weight":          attention,
		"unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora.up.weight":                 attention,
		"unet.base_model.model.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight": attention,
		"base_model.model.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight":      attention,
		"text_encoder.text_model.encoder.layers.1.self_attn.q_proj.lora_linear_layer.down.weight":        text,
		"text_encoder_2.text_model.encoder.layers.0.mlp.fc1.lora_A.weight":                               text2,
		"text_encoder_2.text_projection.lora_A.weight":                                                   "text_encoder_2.text_projection",
		// attention processors of old diffusers
		"unet.mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_out_lora.up.weight": output,
		"down_blocks.1.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight":  attention,
		"text_encoder.text_model.encoder.layers.1.self_attn.to_q_lora.up.weight":                 text,
		// OneTrainer, ai-toolkit, ComfyUI, LyCORIS' wrapper
		"lora_unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_down.weight":     attention,
		"lora_te2.text_model.encoder.layers.0.mlp.fc1.alpha":                                        text2,
		"clip_l.transformer.text_model.encoder.layers.1.self_attn.q_proj.lora_down.weight":          text,
		"clip_g.transformer.text_model.encoder.layers.0.mlp.fc1.lora_down.weight":                   text2,
		"unet.input_blocks.4.1.transformer_blocks.0.attn1.to_q.lora_down.weight":                    attention,
		"diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q.lora_A.weight":            attention,
		"model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_out.0.lora_down.weight": output,
		"lycoris_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q.hada_w1_b":              attention,
		"conditioner.embedders.1.model.transformer.resblocks.0.mlp.c_fc.lora_down.weight":           text2,
	} {
		base, _, ok := splitKey(key)
		require.True(t, ok, key)
		m, _, found := nano.index.find(base)
		require.True(t, found, key)
		assert.Equal(t, want, m.Name, key)
	}
	for _, key := range []string{"lora_unet_down_blocks_0_attentions_0_proj_in.alpha", "lora_te1_text_model_encoder_layers_7_mlp_fc1.alpha",
		"x.alpha"} {
		base, _, _ := splitKey(key)
		_, _, found := nano.index.find(base)
		assert.False(t, found, key)
	}
}

// TestEveryModuleOfSDXL maps every module under kohya's two namings; sd-scripts reports 722 modules in attentions.
func TestEveryModuleOfSDXL(t *testing.T) {
	modules := ModulesOf(modelfile.Preset("sdxl-base"))
	originals := originals(modules)
	attention := 0
	seen := map[string]string{}
	for _, m := range modules {
		component, rest, _ := strings.Cut(m.Name, ".")
		prefix := map[string]string{"unet": "lora_unet_", "text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"}[component]
		names := []string{prefix + flatten(rest)}
		if component == "unet" {
			original := originals[m.Name]
			require.NotEmpty(t, original, m.Name)
			names = append(names, prefix+flatten(original))
			if strings.Contains(rest, ".attentions.") && m.Kind == "linear" {
				attention++
			}
		}
		for _, name := range names {
			found, _, ok := sdxl.index.find(name)
			require.True(t, ok, name)
			assert.Equal(t, m.Name, found.Name, name)
			other, twice := seen[name]
			assert.True(t, !twice || other == m.Name, "%s is %s and %s", name, other, m.Name)
			seen[name] = m.Name
		}
	}
	assert.Equal(t, 722, attention)
}

func TestBlockWeights(t *testing.T) {
	const module = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
	assert.Equal(t, "IN04", nano.index.blocks[module])
	assert.Equal(t, "M00", nano.index.blocks["unet.mid_block.resnets.1.conv1"])
	assert.Equal(t, "OUT08", nano.index.blocks["unet.up_blocks.2.resnets.2.conv1"])
	assert.Equal(t, "BASE", nano.index.blocks["text_encoder_2.text_model.encoder.layers.0.mlp.fc1"])
	for name, c := range map[string]struct {
		weights map[string]float64
		want    float64
	}{
		"none":             {nil, 1},
		"another":          {map[string]float64{"IN05": 0.2}, 1},
		"short name":       {map[string]float64{"in04": 0.2}, 0.2},
		"path":             {map[string]float64{"down_blocks.1": 0.3}, 0.3},
		"longest path":     {map[string]float64{"down_blocks.1": 0.3, "down_blocks.1.attentions.0": 0.4, "IN04": 0.5}, 0.4},
		"no part of names": {map[string]float64{"down_blocks.1.attentions.0.transformer_blocks.0.attn": 0.4}, 1},
	} {
		assert.Equal(t, c.want, lora.Adapter{BlockWeights: c.weights}.BlockWeight(module, "IN04"), name)
	}
}
