package adapters

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// pair is a LoRA of a linear module 64 -> 64.
func pair(base string, rank int) []entry {
	return []entry{random(base+".lora_down.weight", rank, 64), random(base+".lora_up.weight", 64, rank)}
}

func TestBadFiles(t *testing.T) {
	good := safetensors(t, nil, pair(linearKey, 4)...)
	with := func(entries ...entry) []byte { return safetensors(t, nil, append(pair(linearKey, 4), entries...)...) }
	nan := random(convKey+".diff_b", 64)
	nan.data[17] = float32(math.NaN())
	infinite := pair(linearKey, 4)
	infinite[0].data[255] = float32(math.Inf(-1))
	// A pickle that would run a command: protocol 2, "posix.system", ("true",), REDUCE.
	harmful := []byte("\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.")
	for name, c := range map[string]struct {
		file string
		data []byte
		kind error
		says string
	}{
		"empty":             {"a.safetensors", nil, lora.ErrFormat, "empty"},
		"cut in the header": {"a.safetensors", good[:40], lora.ErrFormat, "missing"},
		"cut in the data":   {"a.safetensors", good[:len(good)-9], lora.ErrFormat, "download it again"},
		"a web page":        {"a.safetensors", []byte("<!DOCTYPE html><html>"), lora.ErrFormat, "HTML page"},
		"a git-lfs pointer": {"a.safetensors", []byte("version https://git-lfs.github.com/spec/v1\noid"), lora.ErrFormat, "git-lfs"},
		"random bytes":      {"a.pt", []byte{7, 3, 9, 200, 100, 1, 2, 3, 4, 5}, lora.ErrFormat, "not a model file"},
		"a harmful pickle":  {"a.pt", harmful, lora.ErrFormat, "posix.system"},
		"a GGUF file":       {"a.safetensors", append([]byte("GGUF\x03\x00\x00\x00"), make([]byte, 16)...), lora.ErrFormat, "GGUF"},
		"no adapter": {"a.safetensors", safetensors(t, nil, random("model.diffusion_model.input_blocks.0.0.weight", 4, 4)),
			lora.ErrFormat, "is no adapter"},
		"no tensors": {"a.safetensors", safetensors(t, nil), lora.ErrFormat, "no tensors"},
		"rank 0": {"a.safetensors", safetensors(t, nil, entry{linearKey + ".lora_down.weight", []int{0, 64}, nil},
			entry{linearKey + ".lora_up.weight", []int{64, 0}, nil}), lora.ErrValue, "rank 0"},
		"rank 0 of LoHa": {"a.safetensors", with(entry{convKey + ".hada_w1_a", []int{64, 0}, nil},
			entry{convKey + ".hada_w1_b", []int{0, 288}, nil}, random(convKey+".hada_w2_a", 64, 2), random(convKey+".hada_w2_b", 2, 288)),
			lora.ErrValue, "rank 0"},
		"huge alpha":   {"a.safetensors", with(scalar(linearKey+".alpha", 1e30)), lora.ErrValue, "alpha"},
		"NaN alpha":    {"a.safetensors", with(scalar(linearKey+".alpha", float32(math.NaN()))), lora.ErrValue, "alpha"},
		"alpha of two": {"a.safetensors", with(random(linearKey+".alpha", 2)), lora.ErrShape, "one number"},
		"NaN":          {"a.safetensors", safetensors(t, nil, nan), lora.ErrValue, "NaN"},
		"infinity":     {"a.safetensors", safetensors(t, nil, infinite...), lora.ErrValue, "lora_down"},
		"down does not fit": {"a.safetensors", with(random(convKey+".lora_down.weight", 4, 31, 3, 3),
			random(convKey+".lora_up.weight", 64, 4, 1, 1)), lora.ErrShape, "convolution 32 -> 64, kernel 3"},
		"up does not fit": {"a.safetensors", with(random(convKey+".lora_down.weight", 4, 32, 3, 3),
			random(convKey+".lora_up.weight", 65, 4, 1, 1)), lora.ErrShape, "lora_up"},
		"ranks differ": {"a.safetensors", with(random(convKey+".lora_down.weight", 4, 32, 3, 3),
			random(convKey+".lora_up.weight", 64, 5, 1, 1)), lora.ErrShape, "lora_up"},
		"another kernel": {"a.safetensors", with(random(convKey+".lora_down.weight", 4, 32, 5, 5),
			random(convKey+".lora_up.weight", 64, 4, 1, 1)), lora.ErrShape, "kernel"},
		"no matrices": {"a.safetensors", with(random(convKey+".lora_down.weight", 4), random(convKey+".lora_up.weight", 64)),
			lora.ErrShape, "matrices"},
		"Tucker core": {"a.safetensors", with(random(convKey+".lora_down.weight", 4, 32, 1, 1),
			random(convKey+".lora_up.weight", 64, 4, 1, 1), random(convKey+".lora_mid.weight", 4, 3, 3, 3)), lora.ErrShape, "lora_mid"},
		"LoKr factors": {"a.safetensors", with(random(convKey+".lokr_w1", 4, 4), random(convKey+".lokr_w2", 4, 4, 3, 3)), lora.ErrShape,
			"do not make up"},
		"LoHa halves": {"a.safetensors", with(random(convKey+".hada_w1_a", 64, 2), random(convKey+".hada_w1_b", 2, 17),
			random(convKey+".hada_w2_a", 64, 2), random(convKey+".hada_w2_b", 2, 288)), lora.ErrShape, "hada_w1_b"},
		"difference": {"a.safetensors", with(random(convKey+".diff", 64, 32, 3)), lora.ErrShape, "diff"},
		"bias":       {"a.safetensors", with(random(convKey+".diff_b", 32)), lora.ErrShape, "diff_b"},
		"(IA)^3":     {"a.safetensors", with(random(convKey+".weight", 3), scalar(convKey+".on_input", 0)), lora.ErrShape, "factor"},
		"for SD 1.5": {"a.safetensors", safetensors(t, nil,
			random("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight", 4, 768)), lora.ErrWrongModel,
			"Stable Diffusion 1.x"},
		"for SD 2": {"a.safetensors", safetensors(t, nil,
			random("unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_v.lora_A.weight", 4, 1024)), lora.ErrWrongModel,
			"Stable Diffusion 2.x"},
		"for SDXL itself": {"a.safetensors", safetensors(t, nil,
			random("unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.processor.to_v_lora.down.weight", 4, 2048)), lora.ErrWrongModel,
			"SDXL base"},
		"for Flux": {"a.safetensors", safetensors(t, nil, pair("lora_unet_double_blocks_0_img_attn_proj", 4)...), lora.ErrWrongModel,
			"Flux"},
		"for Flux, diffusers": {"a.safetensors", safetensors(t, nil, pair("transformer.single_transformer_blocks.0.attn.to_q", 4)...),
			lora.ErrWrongModel, "Flux"},
		"for SD3": {"a.safetensors", safetensors(t, nil, pair("transformer.transformer_blocks.0.attn.add_q_proj", 4)...),
			lora.ErrWrongModel, "Stable Diffusion 3"},
		"for a transformer": {"a.safetensors", safetensors(t, nil, pair("diffusion_model.blocks.0.self_attn.q", 4)...), lora.ErrWrongModel,
			"diffusion transformer"},
		"for nothing known": {"a.safetensors", safetensors(t, nil, pair("something.else", 4)...), lora.ErrWrongModel, "none of its 2 tensors"},
		"of other dimensions": {"a.safetensors", safetensors(t, nil, random(linearKey+".lora_down.weight", 4, 640),
			random(linearKey+".lora_up.weight", 640, 4), random(convKey+".lora_down.weight", 4, 320, 3, 3),
			random(convKey+".lora_up.weight", 640, 4, 1, 1)), lora.ErrWrongModel, "other dimensions"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, c.file, c.data)
			f, err := Open(path, nano)
			if err == nil { // values are found when they are read
				_, err = f.Targets(t.Context())
				f.Close()
			}
			require.ErrorIs(t, err, c.kind)
			assert.ErrorContains(t, err, c.says)
			assert.Equal(t, 1, strings.Count(err.Error(), path), "the file is named once: %v", err)
		})
	}
	_, err := Open(t.TempDir(), nano)
	require.ErrorIs(t, err, lora.ErrFormat)
	_, err = Open(filepath.Join(t.TempDir(), "missing.pt"), nano)
	require.ErrorIs(t, err, lora.ErrNotFound)
}

// TestUnmatched: what has no place is listed with the reason, and the rest applies.
func TestUnmatched(t *testing.T) {
	entries := append(pair(linearKey, 4),
		random("lora_unet_down_blocks_7_attentions_0_proj_in.lora_down.weight", 4, 64),
		random(convKey+".vera_lambda_b", 4, 4, 4), random(convKey+".lora_down.weight", 4, 32, 3, 3),
		random("lora_te1_text_model_embeddings_token_embedding.lora_down.weight", 4, 64),
		random("conv_in.weight", 4), random("optimizer", 4), random("bundle_emb.word.clip_l", 2, 64),
		entry{strings.Replace(linearKey, "lora_unet_", "unet_", 1) + ".lora_down.weight", []int{4, 64}, make([]float32, 256)})
	f := mustOpen(t, entries...)
	assert.Equal(t, 2, f.Report.Applied)
	assert.Equal(t, 1, f.Report.Modules)
	reasons := map[string]string{}
	for _, u := range f.Report.Unmatched {
		reasons[u.Tensor] = u.Reason
	}
	assert.Len(t, reasons, len(entries)-2)
	assert.Equal(t, "the model has no such module", reasons["lora_unet_down_blocks_7_attentions_0_proj_in.lora_down.weight"])
	assert.Contains(t, reasons[convKey+".vera_lambda_b"], "VeRA")
	assert.Equal(t, "its counterpart is missing: lora_up", reasons[convKey+".lora_down.weight"])
	assert.Contains(t, reasons["lora_te1_text_model_embeddings_token_embedding.lora_down.weight"], "embedding")
	assert.Contains(t, reasons["conv_in.weight"], "plain weight")
	assert.Equal(t, "no adapter's name", reasons["optimizer"])
	assert.Contains(t, reasons["bundle_emb.word.clip_l"], "textual-inversion")
	assert.Contains(t, reasons["unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight"], "is for the same as")
	assert.Contains(t, f.Report.Summary(), "2 of 10 tensors applied to 1 modules; not applied: ")
	assert.Contains(t, f.Report.Summary(), "and 5 more")
}

func TestReport(t *testing.T) {
	meta := map[string]string{"ss_base_model_version": "sdxl_base_v1-0", "ss_output_name": "ink", "modelspec.title": "Ink wash",
		"modelspec.author": "somebody", "modelspec.trigger_phrase": "ink wash, sumi-e, ink wash", "ss_network_module": "networks.lora",
		"ss_sd_model_name": "None", "ss_tag_frequency": `{"10_ink": {"ink wash": 20, "mountain": 7}, "5_more": {"ink wash": 5, "river ": 7}}`}
	entries := append(pair(linearKey, 4), scalar(linearKey+".alpha", 2))
	entries = append(entries, pair("lora_te2_text_model_encoder_layers_0_self_attn_q_proj", 8)...)
	data := safetensors(t, meta, entries...)
	path := write(t, "ink.pt", data)
	f, err := Open(path, nano)
	require.NoError(t, err)
	defer f.Close()
	r := f.Report
	assert.Equal(t, "ink", r.Name)
	assert.Equal(t, modelfile.FormatSafetensors, r.Format)
	assert.Equal(t, int64(len(data)), r.Size)
	require.Len(t, r.Warnings, 1, "the extension misleads")
	assert.Contains(t, r.Warnings[0], ".pt")
	assert.Equal(t, []int{4, 8}, r.Ranks)
	assert.Equal(t, []float64{2, 8}, r.Alphas)
	assert.Equal(t, map[string]int{"unet": 1, "text_encoder_2": 1}, r.Components)
	assert.Equal(t, map[string]int{"F32": 5}, r.Types)
	assert.Equal(t, Origin{Title: "Ink wash", Author: "somebody", BaseModel: "sdxl_base_v1-0", Module: "networks.lora",
		TriggerWords: []string{"ink wash", "sumi-e"}, Tags: []Tag{{"ink wash", 25}, {"mountain", 7}, {"river", 7}}}, r.Origin)
	assert.Equal(t, []string{"ink wash"}, readOrigin(map[string]string{"ss_tag_frequency": meta["ss_tag_frequency"]}).TriggerWords)
	assert.Empty(t, readOrigin(map[string]string{"ss_tag_frequency": "[1"}).Tags)

	r.Hashes, err = Hash(t.Context(), r.Path)
	require.NoError(t, err)
	sum := sha256.Sum256(data)
	assert.Equal(t, hex.EncodeToString(sum[:]), r.SHA256)
	assert.Equal(t, r.SHA256[:10], r.AutoV2)
	var size int
	for _, e := range entries {
		size += 4 * len(e.data)
	}
	sum = sha256.Sum256(data[len(data)-size:])
	assert.Equal(t, hex.EncodeToString(sum[:])[:12], r.AutoV3)
}

// TestPEFTScaling: PEFT keeps its alphas in a configuration.
func TestPEFTScaling(t *testing.T) {
	const module = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
	peft := []entry{random("base_model.model."+module+".lora_A.weight", 4, 64), random("base_model.model."+module+".lora_B.weight", 64, 4),
		random("base_model.model."+module+".lora_B.bias", 64)}
	scale := func(path string) float64 {
		f, err := Open(path, nano)
		require.NoError(t, err)
		defer f.Close()
		assert.False(t, f.Report.Partial(), f.Report.Summary())
		assert.Equal(t, f.planned[0].target.Scale, f.planned[1].target.Scale, "the bias goes with B")
		return f.planned[0].target.Scale
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "adapter_model.safetensors")
	require.NoError(t, os.WriteFile(path, safetensors(t, nil, peft...), 0o644))
	assert.Equal(t, 1.0, scale(path), "without a configuration alpha is the rank")
	config := filepath.Join(dir, "adapter_config.json")
	for text, want := range map[string]float64{
		`{"lora_alpha": 8, "r": 4}`:                                                        2,
		`{"lora_alpha": 8, "r": 4, "use_rslora": true}`:                                    4,
		`{"lora_alpha": 8, "r": 4, "alpha_pattern": {"attn1.to_q": 1, "other": 3}}`:        0.25,
		`{"peft_type": "LOHA", "alpha": 2, "r": 4, "target_modules": ["to_q"], "x": null}`: 0.5,
	} {
		require.NoError(t, os.WriteFile(config, []byte(text), 0o644))
		assert.Equal(t, want, scale(path), text)
	}
	require.NoError(t, os.WriteFile(config, []byte(`{"r": `), 0o644))
	_, err := Open(path, nano)
	require.ErrorIs(t, err, lora.ErrFormat)
	meta := map[string]string{"lora_adapter_metadata": `{"unet.lora_alpha": 2, "unet.r": 4, "text_encoder.lora_alpha": 7}`}
	assert.Equal(t, 0.5, scale(write(t, "pytorch_lora_weights.safetensors", safetensors(t, meta, peft...))))
	_, err = Open(write(t, "a.safetensors", safetensors(t, map[string]string{"lora_adapter_metadata": "no"}, peft...)), nano)
	require.ErrorIs(t, err, lora.ErrFormat)
}
