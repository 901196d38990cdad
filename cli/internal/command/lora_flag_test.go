package command

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// adapterOfFake is a LoRA of rank 1 for the fake's UNet and first text encoder.
func adapterOfFake(t *testing.T) string {
	t.Helper()
	header, data := map[string]any{"__metadata__": map[string]string{"modelspec.trigger_phrase": "ink wash",
		"ss_base_model_version": "sdxl_base_v1-0"}}, []byte{}
	for key, width := range map[string]int{"lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q": 16,
		"lora_te1_text_model_encoder_layers_0_self_attn_q_proj": 8} {
		for name, shape := range map[string][2]int{key + ".lora_down.weight": {1, width}, key + ".lora_up.weight": {width, 1}} {
			begin := len(data)
			for i := range width {
				data = append(data, byte(i), 0x3c) // about 1 in F16
			}
			header[name] = map[string]any{"dtype": "F16", "shape": shape, "data_offsets": []int{begin, len(data)}}
		}
	}
	text, err := json.Marshal(header)
	require.NoError(t, err)
	return string(binary.LittleEndian.AppendUint64(nil, uint64(len(text)))) + string(text) + string(data)
}

func TestLoRAFlags(t *testing.T) {
	for text, want := range map[string]lora.Adapter{
		"ink":             {Name: "ink"},
		"ink:0.8":         {Name: "ink", Weight: new(0.8)},
		"ink:-1":          {Name: "ink", Weight: new(-1.0)},
		"ink:0.5:0.9":     {Name: "ink", TextEncoderWeight: new(0.5), UNetWeight: new(0.9)},
		"a:b":             {Name: "a:b"},
		"a:b:2":           {Name: "a:b", Weight: new(2.0)},
		"x.safetensors:1": {Path: "x.safetensors", Weight: new(1.0)},
		"dir/ink":         {Path: "dir/ink"},

		"civitai:128078":                 {Path: "civitai:128078"},
		"civitai:5@7:0.5":                {Path: "civitai:5@7", Weight: new(0.5)},
		"civitai:7:0.5:1":                {Path: "civitai:7", TextEncoderWeight: new(0.5), UNetWeight: new(1.0)},
		"a/b@v1:c:0.5":                   {Path: "a/b@v1:c", Weight: new(0.5)},
		"urn:air:x:lora:civitai:5@7:0.5": {Path: "urn:air:x:lora:civitai:5@7", Weight: new(0.5)},
	} {
		have, err := parseLoRA(text)
		require.NoError(t, err)
		assert.Equal(t, want, have, text)
	}
	_, err := parseLoRA(":0.5")
	require.ErrorContains(t, err, "names no adapter")

	file := []lora.Adapter{{Name: "ink", Weight: new(0.2), ScalingFactor: new(2.0), Enabled: new(false)}}
	list, err := addLoRAs(file, []string{"INK:0.8", "other"})
	require.NoError(t, err)
	assert.Equal(t, []lora.Adapter{{Name: "ink", Weight: new(0.8), ScalingFactor: new(2.0)}, {Name: "other"}}, list)
	assert.Equal(t, 0.2, *file[0].Weight, "the list given is as it was")
}

// TestGenerateWithLoRA goes from the flag to the texts in the PNG file.
func TestGenerateWithLoRA(t *testing.T) {
	b := newBench(t)
	dir := b.path("loras")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "style"), 0o755))
	b.write("loras/style/ink.safetensors", adapterOfFake(t))
	require.Equal(t, ExitOK, b.run(small("--lora-dir", dir, "--lora", "ink:0.5:0.25", "-o", b.path("a.png"))...), b.stderr)
	require.Equal(t, ExitOK, b.run(small("-o", b.path("none.png"))...), b.stderr)
	none, _ := readPNG(t, b.path("none.png"))
	img, text := readPNG(t, b.path("a.png"))
	assert.NotEqual(t, none, img)
	assert.Contains(t, text["parameters"], " <lora:ink:0.5:0.25>\n")
	assert.Regexp(t, `Lora hashes: "ink: [0-9a-f]{12}"`, text["parameters"])
	var m struct {
		LoRAs []pipeline.LoRAInfo `json:"loras"`
	}
	require.NoError(t, json.Unmarshal([]byte(text["daguerre"]), &m))
	require.Len(t, m.LoRAs, 1)
	assert.Equal(t, 0.25, m.LoRAs[0].UNetWeight)
	assert.Len(t, m.LoRAs[0].SHA256, 64)

	assert.Equal(t, ExitFile, b.run(small("--lora", "ink", "-o", b.path("b.png"))...))
	assert.Contains(t, b.stderr, "--lora ink: no such file, and --lora-dir names no folder to look in")
	b.write("loras/bad.safetensors", "<html>")
	assert.Equal(t, ExitFile, b.run(small("--lora-dir", dir, "--lora", "bad", "-o", b.path("b.png"))...))
	assert.Contains(t, b.stderr, "HTML page")
}
