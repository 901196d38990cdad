package adapters

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/lora"
)

const (
	peftLinear = "base_model.model.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
	peftConv   = "base_model.model.down_blocks.1.resnets.0.conv1"
	squareConv = "base_model.model.down_blocks.1.resnets.1.conv1" // 64 -> 64
)

// completeAdapters has one adapter of each algorithm, with every part that it can have.
func completeAdapters() map[string][]entry {
	k := func(p string) string { return linearKey + "." + p }
	c := func(p string) string { return convKey + "." + p }
	return map[string][]entry{
		"lora": {random(k("lora_down.weight"), 4, 64), random(k("lora_up.weight"), 64, 4), scalar(k("alpha"), 2), random(k("dora_scale"), 64, 1)},
		"lora of peft": {random(peftLinear+".lora_A.weight", 4, 64), random(peftLinear+".lora_B.weight", 64, 4),
			random(peftLinear+".lora_magnitude_vector", 64)},
		"lora with a bias": {random(peftConv+".lora_A.weight", 4, 32, 3, 3), random(peftConv+".lora_B.weight", 64, 4, 1, 1),
			random(peftConv+".lora_B.bias", 64)},
		"locon": {random(c("lora_down.weight"), 4, 32, 1, 1), random(c("lora_mid.weight"), 4, 4, 3, 3),
			random(c("lora_up.weight"), 64, 4, 1, 1), scalar(c("alpha"), 2)},
		"loha": {random(c("hada_w1_a"), 2, 64), random(c("hada_w1_b"), 2, 32), random(c("hada_t1"), 2, 2, 3, 3), random(c("hada_w2_a"), 2, 64),
			random(c("hada_w2_b"), 2, 32), random(c("hada_t2"), 2, 2, 3, 3), scalar(c("alpha"), 1), random(c("dora_scale"), 64, 1, 1, 1)},
		"lokr": {random(c("lokr_w1_a"), 4, 2), random(c("lokr_w1_b"), 2, 4), random(c("lokr_w2_a"), 2, 16), random(c("lokr_w2_b"), 2, 8),
			random(c("lokr_t2"), 2, 2, 3, 3), scalar(c("alpha"), 1), random(c("dora_scale"), 64, 1, 1, 1)},
		"glora": {random(c("a1.weight"), 32, 4, 1, 1), random(c("a2.weight"), 4, 32, 1, 1), random(c("b1.weight"), 64, 4, 1, 1),
			random(c("b2.weight"), 4, 32, 1, 1), random(c("bm.weight"), 4, 4, 3, 3), scalar(c("alpha"), 2)},
		"oft":          {random(k("oft_blocks"), 8, 8, 8), random(k("rescale"), 64, 1), scalar(k("alpha"), 0.1)},
		"boft":         {random(c("oft_blocks"), 3, 8, 8, 8), random(c("rescale"), 64, 1, 1, 1), scalar(c("alpha"), 0.1)},
		"oft of peft":  {random(peftLinear+".oft_R.weight", 8, 28)},
		"old oft":      {random(peftLinear+".oft_r", 8, 8, 8), random(peftLinear+".oft_s", 64, 1)},
		"boft of peft": {random(peftLinear+".boft_R", 2, 8, 8, 8), random(peftLinear+".boft_s", 64, 1)},
		"ia3":          {random(k("weight"), 64), scalar(k("on_input"), 1)},
		"ia3 of peft":  {random(peftConv+".ia3_l", 1, 64, 1, 1)},
		"full":         {random(k("diff"), 64, 64), random(c("diff"), 64, 32, 3, 3), random(c("diff_b"), 64)},
		"norm":         {random(normKey+".w_norm", 64), random(normKey+".b_norm", 64)},
	}
}

// openBeside opens entries as PEFT would leave them, with its configuration beside them.
func openBeside(t *testing.T, config string, entries ...entry) (*File, error) {
	t.Helper()
	path := write(t, "adapter_model.safetensors", safetensors(t, nil, entries...))
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), "adapter_config.json"), []byte(config), 0o600))
	f, err := Open(path, nano)
	if err == nil {
		t.Cleanup(func() { f.Close() })
	}
	return f, err
}

// TestEveryRename renames each tensor of an adapter of each algorithm, its end as well as its module: the file is refused, or the tensor
// is among those that were not applied, and the summary counts and names it.
func TestEveryRename(t *testing.T) {
	other := append(pair("lora_unet_mid_block_attentions_0_proj_in", 4), scalar("lora_unet_mid_block_attentions_0_proj_in.alpha", 1))
	for i := range other[:2] {
		other[i] = random(other[i].name, []int{4, 128, 128, 4}[2*i:][:2]...)
	}
	covered := map[Algorithm]bool{}
	for name, whole := range completeAdapters() {
		f, err := openBeside(t, `{"r": 4, "eps": 1}`, append(whole, other...)...)
		require.NoError(t, err, name)
		require.False(t, f.Report.Partial(), "%s: %s", name, f.Report.Summary())
		for a := range f.Report.Algorithms {
			covered[a] = true
		}
		for i, e := range whole {
			for _, renamed := range []string{e.name + "x", "x" + e.name} {
				entries := append(append([]entry(nil), whole...), other...)
				entries[i].name = renamed
				f, err := openBeside(t, `{"r": 4, "eps": 1}`, entries...)
				if err != nil { // of a counterpart, whose shape is another without it
					var e *lora.Error
					require.ErrorAs(t, err, &e, "%s of %s", renamed, name)
					assert.ErrorContains(t, err, quoteName(renamed))
					continue
				}
				r := f.Report
				assert.True(t, r.Partial(), "%s of %s", renamed, name)
				assert.Equal(t, r.Tensors, r.Applied+len(r.Unmatched))
				assert.Equal(t, renamed, r.Unmatched[0].Tensor, "told first")
				assert.Contains(t, r.Summary(), group3(r.Applied)+" of "+group3(r.Tensors)+" tensors applied")
				assert.Contains(t, r.Summary(), quoteName(renamed))
			}
		}
	}
	for _, a := range []Algorithm{AlgorithmLoRA, AlgorithmLoCon, AlgorithmLoHa, AlgorithmLoKr, AlgorithmGLoRA, AlgorithmOFT, AlgorithmBOFT,
		AlgorithmIA3, AlgorithmFull, AlgorithmNorm} {
		assert.True(t, covered[a], a)
	}
}

// TestParts: a part by itself, or one that its algorithm has no use for, is named with the reason.
func TestParts(t *testing.T) {
	whole := pair("lora_unet_mid_block_attentions_0_proj_in", 4)
	whole[0], whole[1] = random(whole[0].name, 4, 128), random(whole[1].name, 128, 4)
	k := func(p string) string { return linearKey + "." + p }
	for name, c := range map[string]struct {
		entry  entry
		reason string
	}{
		"alpha":                {scalar(k("alpha"), 1), "nothing in the file goes with it"},
		"magnitude":            {random(k("dora_scale"), 64, 1), "nothing in the file goes with it"},
		"magnitude of peft":    {random(k("lora_magnitude_vector"), 64), "nothing in the file goes with it"},
		"half a lora":          {random(k("lora_up.weight"), 64, 4), "its counterpart is missing: lora_down"},
		"core":                 {random(convKey+".lora_mid.weight", 4, 4, 3, 3), "nothing in the file goes with it"},
		"factors without oft":  {random(k("rescale"), 64, 1), "its counterpart is missing: oft_blocks"},
		"factors without boft": {random(k("boft_s"), 64, 1), "its counterpart is missing: boft_R"},
		"half a glora":         {random(k("a1.weight"), 64, 4), "its counterpart is missing: a2, b1"},
		"flag":                 {scalar(k("on_input"), 1), "its counterpart is missing: weight"},
		"bias of b":            {random(k("lora_B.bias"), 64), "nothing in the file goes with it"},
		"unknown loha":         {random(k("hada_w3_a"), 64, 4), "is no part of LoHa that is known"},
		"unknown lokr":         {random(k("lokr_m"), 64, 4), "is no part of LoKr that is known"},
		"vera":                 {random(k("vera_lambda_b"), 64), "belongs to VeRA, which is not supported"},
		"oft of a norm":        {random(normKey+".oft_blocks", 8, 8, 8), "is a norm, which this algorithm does not change"},
	} {
		f := mustOpen(t, append([]entry{c.entry}, whole...)...)
		require.Len(t, f.Report.Unmatched, 1, name)
		assert.Equal(t, c.entry.name, f.Report.Unmatched[0].Tensor, name)
		assert.Contains(t, f.Report.Unmatched[0].Reason, c.reason, name)
	}
	f := mustOpen(t, append([]entry{scalar(k("oft_unknown"), 1), random(k("dora_scale"), 64, 1), random(k("oft_blocks"), 8, 8, 8)},
		whole...)...)
	assert.Len(t, f.Report.Unmatched, 2, "magnitudes beside a rotation")
}

// TestRefusedByName: a file of an algorithm that is not read says which.
func TestRefusedByName(t *testing.T) {
	for tensor, algorithm := range map[string]string{
		".vera_lambda_b": "VeRA", ".vera_lambda_d.default": "VeRA", ".hra_u": "HRA", ".ln_tuning_layers.weight": "LN-tuning",
		".vblora_logits_A": "VB-LoRA", ".fourierft_spectrum": "FourierFT", ".lora_E": "AdaLoRA", ".randlora_lambda": "RandLoRA",
		".road_theta": "RoAd", ".shira_weight": "SHiRA", ".c3a_kernel": "C3A", ".miss_block": "MiSS", ".bone_block": "Bone",
		".gralora_A": "GraLoRA", ".delora_lambda": "DeLoRA", ".waveft_spectrum": "WaveFT", ".glora_A.Xd": "PEFT's GLoRA",
		".psoft_R": "PSOFT", ".hira_A": "HiRA", ".tinylora_v": "TinyLoRA", ".unilora_theta_d": "Uni-LoRA", ".oft_diag": "OFT of vectors",
		".lora_embedding_A": "LoRA of an embedding", ".set_weight": "a whole weight",
	} {
		path := write(t, "a.safetensors", safetensors(t, nil, random(peftLinear+tensor, 64)))
		_, err := Open(path, nano)
		require.ErrorIs(t, err, lora.ErrFormat, tensor)
		assert.ErrorContains(t, err, "this file is a "+algorithm, tensor)
		assert.ErrorContains(t, err, peftLinear+tensor)
		assert.ErrorContains(t, err, "not supported")
	}
	_, err := Open(write(t, "a.safetensors", safetensors(t, nil, random("base_model.vera_A", 4, 64))), nano)
	require.ErrorContains(t, err, "VeRA", "a tensor of no module")
	_, err = Open(write(t, "a.safetensors", safetensors(t, nil, random(linearKey+".lora_up.weight", 64, 4))), nano)
	require.ErrorIs(t, err, lora.ErrFormat)
	require.ErrorContains(t, err, "its counterpart is missing: lora_down")
}

// TestIA3Side: what PEFT's shapes do not tell its configuration does, or the file is refused.
func TestIA3Side(t *testing.T) {
	square := random(squareConv+".ia3_l", 1, 64, 1, 1)
	_, err := Open(write(t, "a.safetensors", safetensors(t, nil, square)), nano)
	require.ErrorIs(t, err, lora.ErrFormat)
	require.ErrorContains(t, err, "adapter_config.json")
	require.ErrorContains(t, err, squareConv)
	for config, forms := range map[string][]string{
		`{"feedforward_modules": ["resnets.1.conv1"]}`:        {"in_scale"},
		`{"feedforward_modules": ".*resnets\\.1\\.conv1"}`:    {"in_scale"},
		`{"feedforward_modules": "resnets"}`:                  {"out_scale", "bias_scale"},
		`{"feedforward_modules": []}`:                         {"out_scale", "bias_scale"},
		`{"feedforward_modules": null}`:                       {"out_scale", "bias_scale"},
		`{"feedforward_modules": ["ff.net.2", "attn1.to_k"]}`: {"out_scale", "bias_scale"},
	} {
		f, err := openBeside(t, config, square)
		require.NoError(t, err, config)
		var have []string
		for _, p := range f.planned {
			have = append(have, string(p.target.Form))
		}
		assert.Equal(t, forms, have, config)
		assert.Equal(t, 1, f.Report.Applied)
	}
	_, err = openBeside(t, `{"feedforward_modules": "("}`, square)
	require.ErrorIs(t, err, lora.ErrFormat)
	// a linear layer's shape is enough; attn1.to_q has no bias, ff.net.0.proj has one
	proj := "base_model.model.down_blocks.1.attentions.0.transformer_blocks.0.ff.net.0.proj"
	f := mustOpen(t, random(peftLinear+".ia3_l", 64, 1), random(proj+".ia3_l", 512, 1))
	assert.Equal(t, map[Algorithm]int{AlgorithmIA3: 3}, f.Report.Algorithms)
	assert.Equal(t, 2, f.Report.Applied)
}

// TestOFTWantsItsConfiguration: PEFT's file alone does not say how it is computed.
func TestOFTWantsItsConfiguration(t *testing.T) {
	for _, e := range []entry{random(peftLinear+".oft_R.weight", 8, 28), random(peftLinear+".oft_r", 8, 8, 8)} {
		_, err := Open(write(t, "a.safetensors", safetensors(t, nil, e)), nano)
		require.ErrorIs(t, err, lora.ErrFormat)
		assert.ErrorContains(t, err, "adapter_config.json")
	}
	_, err := openBeside(t, `{"num_cayley_neumann_terms": 0}`, random(peftLinear+".oft_R.weight", 8, 28))
	if err == nil {
		var f *File
		f, err = openBeside(t, `{"num_cayley_neumann_terms": 0}`, random(peftLinear+".oft_R.weight", 8, 28))
		require.NoError(t, err)
		_, err = f.Targets(t.Context())
	}
	var e *lora.Error
	require.True(t, errors.As(err, &e))
	assert.Equal(t, "num_cayley_neumann_terms", e.Field)
	for name, shape := range map[string][]int{"odd": {8, 27}, "too few": {7, 28}, "empty": {8, 0}} {
		_, err := openBeside(t, `{}`, random(peftLinear+".oft_R.weight", shape...))
		require.Error(t, err, name)
	}
	for name, e := range map[string]entry{"blocks": random(linearKey+".oft_blocks", 4, 4, 4),
		"stages": random(linearKey+".oft_blocks", 5, 8, 8, 8),
		"odd":    random(linearKey+".oft_blocks", 1, 64, 1, 1), "flat": random(linearKey+".oft_blocks", 64)} {
		_, err := Open(write(t, "a.safetensors", safetensors(t, nil, e)), nano)
		require.ErrorIs(t, err, lora.ErrShape, name)
	}
}
