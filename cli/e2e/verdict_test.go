package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
)

// A damaged is the nano model's file with something wrong, and the tensor that every command names for it; "" where none is wrong.
type damaged struct {
	name    string
	changes []change
	tensor  string
}

const middle = "model.diffusion_model.middle_block."

var damages = []damaged{
	{"nothing", nil, ""},
	{"the last text layer's norm", []change{lost(ldmText + "text_model.encoder.layers.2.layer_norm1.weight")},
		ldmText + "text_model.encoder.layers.2.layer_norm1.weight"},
	{"a transformer block's norm", []change{lost(middle + "1.transformer_blocks.0.norm1.weight")},
		middle + "1.transformer_blocks.0.norm1.weight"},
	{"a middle block's convolution", []change{lost(middle + "2.in_layers.2.weight")}, middle + "2.in_layers.2.weight"},
	{"four convolutions", []change{without("input_blocks.1.0.in_layers.2.", "input_blocks.2.0.in_layers.2.")},
		"model.diffusion_model.input_blocks.1.0.in_layers.2.weight"},
	{"the VAE's last convolution", []change{lost("first_stage_model.post_quant_conv.weight")}, "first_stage_model.post_quant_conv.weight"},
	{"the encoder's first block", []change{without("encoder.down.0.block.0.conv1.")}, "first_stage_model.encoder.down.0.block.0.conv1.weight"},
	{"the decoder's first block", []change{without("decoder.up.3.block.0.conv1.")}, "first_stage_model.decoder.up.3.block.0.conv1.weight"},
	{"the second encoder's projection", []change{lost(ldmClip + "text_projection")}, ldmClip + "text_projection"},
	{"a UNet of one convolution", []change{names(func(n string) string {
		if strings.HasPrefix(n, "model.diffusion_model.") && !strings.Contains(n, "input_blocks.0.") && !strings.Contains(n, "label_emb") {
			return ""
		}
		return n
	})}, "model.diffusion_model.time_embed.0.weight"},
	{"a dimension of 0", []change{without(middle + "0.in_layers.2.bias"), with(middle+"0.in_layers.2.bias", "F16", 0)},
		middle + "0.in_layers.2.bias"},
	{"an IP-Adapter", []change{with(middle+"1.transformer_blocks.0.attn2.to_k_ip.weight", "F16", 2)},
		middle + "1.transformer_blocks.0.attn2.to_k_ip.weight"},
	{"a bias of a query", []change{with(middle+"1.transformer_blocks.0.attn1.to_q.bias", "F16", 128)},
		middle + "1.transformer_blocks.0.attn1.to_q.bias"},
	{"a schedule", []change{with("alphas_cumprod", "F32", 1000)}, ""},
	{"a tensor of nothing", []change{with("something.else", "F32", 0)}, ""},
}

// lost gives a tensor another name.
func lost(name string) change {
	return names(func(n string) string {
		if n == name {
			return n + "_"
		}
		return n
	})
}

// Inspect, plan, generate, convert and fuse say the same of a file: it is taken by all, or refused by all with the same tensor.
func TestCommandsAgreeOnDamage(t *testing.T) {
	source := newFieldSource(t)
	const adapter = "../../models/nano/nano-lora-stripes.safetensors"
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			k := &kit{t: t, dir: t.TempDir(), fieldSource: source}
			path := original(d.changes...)(k)
			out := func(name string) string { return filepath.Join(k.dir, name) }
			picture := []string{"--model", path, "--prompt", "x", "--steps", "1", "--width", "64", "--height", "64", "-o", out("out.png")}
			_, want := modelfile.Check(path)
			for _, args := range [][]string{
				{"models", "inspect", "--check", path},
				append([]string{"plan"}, picture...),
				append([]string{"generate"}, picture...),
				{"models", "convert", path, out("out.gguf"), "--type", "f16"},
				{"lora", "fuse", path, "--lora", adapter, "-o", out("out.safetensors")},
			} {
				r := run(t, args...)
				if d.tensor == "" {
					require.NoError(t, want)
					require.Equal(t, 0, r.code, "%s: %s", args[:2], r.stderr)
					continue
				}
				require.ErrorContains(t, want, `tensor "`+d.tensor+`"`)
				require.Equal(t, 3, r.code, "%s: %s", args[:2], r.stderr)
				assert.Contains(t, r.stderr, want.Error(), args[:2])
			}
			for _, name := range []string{"out.png", "out.gguf", "out.safetensors"} {
				if d.tensor != "" {
					assert.NoFileExists(t, out(name))
				}
			}
		})
	}
}

// The same goes for what is given beside the model.
func TestDamageBesideTheModel(t *testing.T) {
	source := newFieldSource(t)
	const models = "../../models/nano/"
	refiner := filepath.Join(t.TempDir(), "refiner.safetensors")
	require.NoError(t, synth.Write(t.Context(), refiner, synth.Options{Kind: synth.KindNanoRefiner}))
	for _, c := range []struct {
		role, file, tensor string
	}{
		{"controlnet", models + "nano-controlnet-canny.safetensors", "controlnet_down_blocks.3.weight"},
		{"controlnet", models + "nano-controlnet-canny.safetensors", "mid_block.attentions.0.transformer_blocks.0.norm1.weight"},
		{"controlnet", models + "nano-controlnet-canny.safetensors", "controlnet_cond_embedding.conv_in.weight"},
		{"taesd", models + "nano-taesd.safetensors", "encoder.layers.2.weight"},
		{"taesd", models + "nano-taesd.safetensors", "decoder.layers.0.weight"},
		{"refiner", refiner, middle + "1.transformer_blocks.0.norm1.weight"},
		{"refiner", refiner, "model.diffusion_model.label_emb.0.0.weight"},
	} {
		t.Run(c.role+" "+c.tensor, func(t *testing.T) {
			t.Parallel()
			k := &kit{t: t, dir: t.TempDir(), fieldSource: source}
			whole := readTensors(t, c.file)
			require.Contains(t, whole.names, c.tensor)
			path := k.save("file.safetensors", changed(whole, []change{lost(c.tensor)}))
			args := append([]string{"generate", "--width", "64", "--height", "64", "--prompt", "x", "-o", filepath.Join(k.dir, "out.png")},
				roles[c.role](k, path)...)
			if c.role != "refiner" { // which has its own
				args = append(args, "--steps", "1")
			}
			r := run(t, args...)
			require.Equal(t, 3, r.code, "%s", r.stderr)
			assert.Contains(t, r.stderr, `file.safetensors: tensor "`+c.tensor+`": missing`)
		})
	}
}

// TestNanoVAEIsGood: a good VAE of a small model is judged by what it was trained on.
func TestNanoVAEIsGood(t *testing.T) {
	r := run(t, "vae", "check", "nano")
	assert.Equal(t, 0, r.code, r.stderr)
	assert.Contains(t, r.stdout, "verdict   good\n")
	assert.Contains(t, r.stdout, "a small VAE, 64 channels wide; SDXL's has 512")
	r = run(t, "vae", "check", "nano", "--size", "512")
	assert.Equal(t, 0, r.code, "%s%s", r.stdout, r.stderr)
	r = run(t, "vae", "check", "nano", "--json")
	assert.Contains(t, r.stdout, `"small":true`)
	broken := filepath.Join(t.TempDir(), "random.safetensors")
	require.Equal(t, 0, run(t, "models", "synth", "--kind", "nano", "-o", broken, "--quiet").code)
	r = run(t, "vae", "check", broken)
	assert.Equal(t, 3, r.code, "random weights bring no drawing back: %s", r.stdout)
}
