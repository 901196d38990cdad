package adapters

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// The modules that the algorithms are tried on: linear 64 -> 64, and a convolution 32 -> 64 of 3x3.
const (
	linearKey    = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
	linearModule = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
	convKey      = "lora_unet_down_blocks_1_resnets_0_conv1"
	convModule   = "unet.down_blocks.1.resnets.0.conv1"
	normKey      = "lora_unet_down_blocks_1_resnets_0_norm2"
)

// at reads a tensor of a test's file by its indices.
func (e entry) at(i ...int) float64 {
	k := 0
	for d, n := range e.shape {
		k = k*n + i[d]
	}
	return float64(e.data[k])
}

// table returns f of every row and column.
func table(rows, cols int, f func(i, j int) float64) []float64 {
	out := make([]float64, 0, rows*cols)
	for i := range rows {
		for j := range cols {
			out = append(out, f(i, j))
		}
	}
	return out
}

// TestAlgorithms compares every algorithm's target with its formula, element by element.
func TestAlgorithms(t *testing.T) {
	k := func(p string) string { return linearKey + "." + p }
	c := func(p string) string { return convKey + "." + p }
	down, up := random(k("lora_down.weight"), 4, 64), random(k("lora_up.weight"), 64, 4)
	cdown, cup := random(c("lora_down.weight"), 4, 32, 3, 3), random(c("lora_up.weight"), 64, 4, 1, 1)
	tdown, tmid := random(c("lora_down.weight"), 4, 32, 1, 1), random(c("lora_mid.weight"), 4, 4, 3, 3)
	product := func(a, b entry, n, i, j int) (sum float64) {
		for r := range n {
			sum += a.at(i, r) * b.at(r, j)
		}
		return sum
	}
	h := [4]entry{random(k("hada_w1_a"), 64, 3), random(k("hada_w1_b"), 3, 64), random(k("hada_w2_a"), 64, 3), random(k("hada_w2_b"), 3, 64)}
	big := [4]entry{random(k("hada_w1_a"), 64, 8), random(k("hada_w1_b"), 8, 64), random(k("hada_w2_a"), 64, 8), random(k("hada_w2_b"), 8, 64)}
	hc := [4]entry{random(c("hada_w1_a"), 64, 2), random(c("hada_w1_b"), 2, 288), random(c("hada_w2_a"), 64, 2),
		random(c("hada_w2_b"), 2, 288)}
	ht := [6]entry{random(c("hada_w1_a"), 2, 64), random(c("hada_w1_b"), 2, 32), random(c("hada_t1"), 2, 2, 3, 3),
		random(c("hada_w2_a"), 2, 64), random(c("hada_w2_b"), 2, 32), random(c("hada_t2"), 2, 2, 3, 3)}
	hadaTucker := func(a, b, core entry, i, j int) (sum float64) { // j runs over in, then the kernel
		for p := range 2 {
			for q := range 2 {
				sum += core.at(p, q, j%9/3, j%3) * b.at(q, j/9) * a.at(p, i)
			}
		}
		return sum
	}
	w1, w2 := random(k("lokr_w1"), 8, 4), random(k("lokr_w2"), 8, 16)
	w1a, w1b := random(k("lokr_w1_a"), 8, 2), random(k("lokr_w1_b"), 2, 4)
	w2a, w2b := random(k("lokr_w2_a"), 8, 2), random(k("lokr_w2_b"), 2, 16)
	cw1, cw2 := random(c("lokr_w1"), 4, 4), random(c("lokr_w2"), 16, 8, 3, 3)
	cw2a, cw2b := random(c("lokr_w2_a"), 16, 2), random(c("lokr_w2_b"), 2, 72)
	ta, tb, tt := random(c("lokr_w2_a"), 2, 16), random(c("lokr_w2_b"), 2, 8), random(c("lokr_t2"), 2, 2, 3, 3)
	diff, cdiff := random(k("diff"), 64, 64), random(c("diff"), 64, 32, 3, 3)
	weight := random("weight", 64, 64)
	ia3 := random(k("weight"), 64)
	peft3 := random("base_model.model.unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.ia3_l", 1, 64)

	for _, c := range []struct {
		name      string
		entries   []entry
		form      backend.LoRAForm
		algorithm Algorithm
		cols      int
		want      func(i, j int) float64
	}{
		{"lora, alpha", []entry{down, up, scalar(k("alpha"), 2)}, backend.LoRALowRank, AlgorithmLoRA, 64,
			func(i, j int) float64 { return 0.5 * product(up, down, 4, i, j) }},
		{"lora, no alpha", []entry{down, up}, backend.LoRALowRank, AlgorithmLoRA, 64,
			func(i, j int) float64 { return product(up, down, 4, i, j) }},
		{"lora, as 1x1 kernels", []entry{{down.name, []int{4, 64, 1, 1}, down.data}, {up.name, []int{64, 4, 1, 1}, up.data}}, backend.LoRALowRank,
			AlgorithmLoRA, 64,
			func(i, j int) float64 { return product(up, down, 4, i, j) }},
		{"locon", []entry{cdown, cup, scalar(convKey+".alpha", 1)}, backend.LoRALowRank, AlgorithmLoCon, 288, func(i, j int) (sum float64) {
			for r := range 4 {
				sum += 0.25 * cup.at(i, r, 0, 0) * cdown.at(r, j/9, j%9/3, j%3)
			}
			return sum
		}},
		{"locon, tucker", []entry{tdown, cup, tmid}, backend.LoRALowRank, AlgorithmLoCon, 288, func(i, j int) (sum float64) {
			for r := range 4 {
				for s := range 4 {
					sum += cup.at(i, r, 0, 0) * tmid.at(r, s, j%9/3, j%3) * tdown.at(s, j/9, 0, 0)
				}
			}
			return sum
		}},
		{"loha", append(h[:], scalar(k("alpha"), 1)), backend.LoRALowRank, AlgorithmLoHa, 64,
			func(i, j int) float64 { return product(h[0], h[1], 3, i, j) * product(h[2], h[3], 3, i, j) / 3 }},
		{"loha, dense", big[:], backend.LoRADense, AlgorithmLoHa, 64,
			func(i, j int) float64 { return product(big[0], big[1], 8, i, j) * product(big[2], big[3], 8, i, j) }},
		{"loha, convolution", hc[:], backend.LoRALowRank, AlgorithmLoHa, 288,
			func(i, j int) float64 { return product(hc[0], hc[1], 2, i, j) * product(hc[2], hc[3], 2, i, j) }},
		{"loha, tucker", ht[:], backend.LoRALowRank, AlgorithmLoHa, 288,
			func(i, j int) float64 {
				return hadaTucker(ht[0], ht[1], ht[2], i, j) * hadaTucker(ht[3], ht[4], ht[5], i, j)
			}},
		{"lokr, whole", []entry{w1, w2, scalar(k("alpha"), 7)}, backend.LoRAKron, AlgorithmLoKr, 64,
			func(i, j int) float64 { return w1.at(i/8, j/16) * w2.at(i%8, j%16) }},
		{"lokr, second factored", []entry{w1, w2a, w2b, scalar(k("alpha"), 1)}, backend.LoRAKron, AlgorithmLoKr, 64,
			func(i, j int) float64 { return 0.5 * w1.at(i/8, j/16) * product(w2a, w2b, 2, i%8, j%16) }},
		{"lokr, both factored", []entry{w1a, w1b, w2a, w2b, scalar(k("alpha"), 1)}, backend.LoRAKron, AlgorithmLoKr, 64,
			func(i, j int) float64 { return 0.5 * product(w1a, w1b, 2, i/8, j/16) * product(w2a, w2b, 2, i%8, j%16) }},
		{"lokr, first factored", []entry{w1a, w1b, w2, scalar(k("alpha"), 1)}, backend.LoRAKron, AlgorithmLoKr, 64,
			func(i, j int) float64 { return 0.5 * product(w1a, w1b, 2, i/8, j/16) * w2.at(i%8, j%16) }},
		{"lokr, convolution", []entry{cw1, cw2}, backend.LoRADense, AlgorithmLoKr, 288,
			func(i, j int) float64 { return cw1.at(i/16, j/9/8) * cw2.at(i%16, j/9%8, j%9/3, j%3) }},
		{"lokr, convolution factored", []entry{cw1, cw2a, cw2b}, backend.LoRADense, AlgorithmLoKr, 288,
			func(i, j int) float64 { return cw1.at(i/16, j/9/8) * product(cw2a, cw2b, 2, i%16, j/9%8*9+j%9) }},
		{"lokr, tucker", []entry{cw1, ta, tb, tt}, backend.LoRADense, AlgorithmLoKr, 288, func(i, j int) (sum float64) {
			for p := range 2 {
				for q := range 2 {
					sum += tt.at(p, q, j%9/3, j%3) * ta.at(p, i%16) * tb.at(q, j/9%8)
				}
			}
			return sum * cw1.at(i/16, j/9/8)
		}},
		{"ia3, outputs", []entry{ia3, scalar(k("on_input"), 0)}, backend.LoRAOutScale, AlgorithmIA3, 64,
			func(i, j int) float64 { return weight.at(i, j) * ia3.at(i) }},
		{"ia3, inputs", []entry{ia3, scalar(k("on_input"), 1)}, backend.LoRAInScale, AlgorithmIA3, 64,
			func(i, j int) float64 { return weight.at(i, j) * ia3.at(j) }},
		{"ia3 of peft", []entry{peft3}, backend.LoRAInScale, AlgorithmIA3, 64,
			func(i, j int) float64 { return weight.at(i, j) * (peft3.at(0, j) - 1) }},
		{"full", []entry{diff}, backend.LoRADense, AlgorithmFull, 64, func(i, j int) float64 { return diff.at(i, j) }},
		{"full, convolution", []entry{cdiff}, backend.LoRADense, AlgorithmFull, 288,
			func(i, j int) float64 { return cdiff.at(i, j/9, j%9/3, j%3) }},
		{"bias", []entry{random(k("diff_b"), 64)}, backend.LoRABias, AlgorithmFull, 1,
			func(i, _ int) float64 { return random(k("diff_b"), 64).at(i) }},
		{"norm", []entry{random(normKey+".w_norm", 64)}, backend.LoRANorm, AlgorithmNorm, 1,
			func(i, _ int) float64 { return random(normKey+".w_norm", 64).at(i) }},
		{"norm bias", []entry{random(normKey+".b_norm", 64)}, backend.LoRABias, AlgorithmNorm, 1,
			func(i, _ int) float64 { return random(normKey+".b_norm", 64).at(i) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := mustOpen(t, c.entries...)
			assert.Equal(t, len(c.entries), f.Report.Applied, f.Report.Summary())
			targets, err := f.Targets(t.Context())
			require.NoError(t, err)
			require.Len(t, targets, 1)
			assert.Equal(t, c.form, targets[0].Form)
			assert.Equal(t, map[Algorithm]int{c.algorithm: 1}, f.Report.Algorithms)
			assert.Equal(t, f.Report.Bytes, targetBytes(targets[0]), "the estimate is exact")
			w := make([]float64, 64*c.cols)
			if c.cols == 64 {
				w = table(64, 64, func(i, j int) float64 { return weight.at(i, j) })
			}
			requireClose(t, table(64, c.cols, c.want), delta(t, targets[0], w, 64, c.cols))
		})
	}
}

func targetBytes(t backend.LoRATarget) int64 {
	n := int64(len(t.A.Data) + len(t.B.Data))
	if t.Magnitude != nil {
		n += int64(len(t.Magnitude.Data))
	}
	return n
}

func TestDoRA(t *testing.T) {
	key := "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_ff_net_0_proj" // 64 -> 512
	module := "unet.down_blocks.1.attentions.0.transformer_blocks.0.ff.net.0.proj"
	peft := "base_model.model." + module
	for name, c := range map[string]struct {
		base string
		mark entry
		axis int
	}{
		"lycoris, per output":    {key, random(key+".dora_scale", 512, 1), 0},
		"lycoris, per input":     {key, random(key+".dora_scale", 1, 64), 1},
		"one dimension":          {key, random(key+".dora_scale", 512), 0},
		"peft":                   {peft, random(peft+".lora_magnitude_vector", 512), 0},
		"peft, with a weight":    {peft, random(peft+".lora_magnitude_vector.weight", 512), 0},
		"peft, as a convolution": {peft, random(peft+".lora_magnitude_vector.default.weight", 1, 512, 1, 1), 0},
	} {
		f := mustOpen(t, random(c.base+".lora_down.weight", 2, 64), random(c.base+".lora_up.weight", 512, 2), c.mark)
		assert.Equal(t, 3, f.Report.Applied, name)
		assert.Equal(t, 1, f.Report.DoRA, name)
		targets, err := f.Targets(t.Context())
		require.NoError(t, err)
		require.NotNil(t, targets[0].Magnitude, name)
		assert.Equal(t, c.axis, targets[0].MagnitudeAxis, name)
		assert.Equal(t, len(c.mark.data), targets[0].Magnitude.Shape[0], name)
	}
	_, err := Open(write(t, "a.safetensors", safetensors(t, nil, random(key+".lora_down.weight", 2, 64), random(key+".lora_up.weight", 512, 2),
		random(key+".dora_scale", 33, 1))), nano)
	require.ErrorIs(t, err, lora.ErrShape)
}
