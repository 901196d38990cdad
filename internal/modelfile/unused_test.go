//go:build !race

package modelfile

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// further is a tensor that no architecture has.
func further(name string, d DType, shape ...int64) Tensor {
	n, _ := product(shape)
	size, _ := d.Bytes(n, 1)
	return Tensor{Name: name, DType: d, Shape: shape, Size: size}
}

// What stands among a component's tensors and would change the picture is an error, whoever opens the file. What would not is a warning, or
// known. What belongs to no component is a warning.
func TestTensorsThatNothingAsksFor(t *testing.T) {
	const u, attn = "model.diffusion_model.", "model.diffusion_model.middle_block.1.transformer_blocks.0."
	const text, text2, vae = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model.", "first_stage_model."
	for _, c := range []struct {
		extra Tensor
		fate  fate
		says  string
	}{
		{further(attn+"attn2.to_k_ip.weight", F16, 8, 8), refused, "is an IP-Adapter's attention, which is not supported"},
		{further(attn+"attn1.to_q.bias", F16, 128), refused, "nothing here uses it"},
		{further(attn+"norm4.weight", F16, 128), refused, "nothing here uses it"},
		{further(attn+"attn1.norm_q.weight", F16, 128), refused, "nothing here uses it"},
		{further(attn+"attn1.to_q.alpha", F32), refused, "nothing here uses it"},
		{further(u+"middle_block.1.motion_modules.0.weight", F16, 8), refused, "a temporal module"},
		{further(u+"class_embedding.linear_1.weight", F16, 8, 8), refused, "a class embedding"},
		{further(u+"input_blocks.1.0.skip_connection.weight", F16, 32, 32, 1, 1), refused, "nothing here uses it"},
		{further(u+"input_blocks.9.0.in_layers.2.weight", F16, 32, 32, 3, 3), refused, ""},
		{further(u+"output_blocks.77.0.in_layers.2.weight", F16, 32, 32, 3, 3), refused, ""},
		{further(u+"input_blocks.999.0.in_layers.2.weight", F16, 32, 32, 3, 3), refused, "nothing here uses it"},
		{further(vae+"decoder.time_stack.0.weight", F16, 8), refused, "a temporal module"},
		{further(vae+"decoder.conv_in.scale", F32, 1), refused, "nothing here uses it"},
		{further(text+"text_model.embeddings.position_embedding_res.weight", F16, 248, 64), refused, "positions of Long-CLIP"},
		{further(text2+"transformer.resblocks.0.attn.bias_k", F16, 64), refused, "nothing here uses it"},

		{further(text+"text_projection.weight", F16, 64, 64), usual, ""},
		{further(text+"logit_scale", F32), usual, ""},
		{further(text2+"position_ids", I64, 1, 77), usual, ""},
		{further(text2+"attn_mask", F32, 77, 77), usual, ""},
		{further("alphas_cumprod", F32, 1000), usual, ""},
		{further("denoiser.sigmas", F32, 1000), usual, ""},
		{further(text2+"visual.conv1.weight", F16, 8), usual, ""},
		{further(vae+"loss.logvar", F32), usual, ""},
		{further("v_pred", F32), consumed, ""},

		{further("model_ema.decay", F32), idle, "averaged weights"},
		{further(vae+"encoder.num_batches_tracked", I64), idle, "counters"},
		{further(attn+"attn1.marker", U8, 3), idle, "not of a type that weights have"},
		{further(attn+"attn1.nothing", F16, 0), idle, "empty"},
		{further("some.other.network.weight", F16, 8), idle, ""},
		{further("motion_modules.0.weight", F16, 8), idle, "a temporal module"},
		{further("cond_stage_model.model.ln_final.weight", F16, 64), idle, ""},
	} {
		t.Run(c.extra.Name, func(t *testing.T) {
			tensors := append(inMemory(Preset("nano"), LayoutOriginal), c.extra)
			for _, a := range asked {
				err := a.ask(opened(tensors), "model")
				if c.fate != refused {
					require.NoError(t, err, a.who)
					continue
				}
				require.ErrorIs(t, err, ErrTensor, a.who)
				if require.ErrorContains(t, err, c.says, a.who); c.says != "" {
					require.ErrorContains(t, err, fmt.Sprintf("tensor %q", c.extra.Name), a.who)
				}
			}
			s := opened(tensors)
			r, err := s.report()
			require.NoError(t, err)
			warned := slices.ContainsFunc(r.Warnings, func(w string) bool {
				return strings.Contains(w, c.extra.Name) && strings.Contains(w, c.says)
			})
			assert.Equal(t, c.fate == idle, warned, r.Warnings)
			listed := slices.ContainsFunc(r.Unused, func(u Unused) bool { return u.Name == c.extra.Name && u.Fault == (c.fate == refused) })
			assert.True(t, listed || c.says == "" && c.fate == refused, "inspect lists it")
			if c.fate == refused {
				return
			}
			m := &Model{}
			require.NoError(t, m.add("model", s))
			m.Dims = infer(m.parts)
			table, err := m.Table()
			require.NoError(t, err)
			assert.Equal(t, c.fate == idle, slices.Contains(table.Unused, c.extra.Name))
			assert.Equal(t, c.fate == idle, len(table.Warnings) == 1, table.Warnings)
		})
	}
}

// A component's own file, under no prefix, has no room for others.
func TestTensorsThatNothingAsksForInAComponentsFile(t *testing.T) {
	for _, c := range []struct {
		preset, role string
		layout       Layout
		extra        Tensor
		says         string
	}{
		{"nano-controlnet", "controlnet", LayoutDiffusers, further("encoder_hid_proj.weight", F16, 8, 8), "another text encoder"},
		{"nano-controlnet", "controlnet", LayoutOriginal, further("zero_convs.12.0.weight", F16, 8, 8, 1, 1), "nothing here uses"},
		{"vae", "vae", LayoutDiffusers, further("bn.running_mean", F32, 4), "nothing here uses"},
		{"taesd", "taesd", LayoutDiffusers, further("encoder.layers.2.bias", F16, 64), "nothing here uses"},
		{"taesd", "taesd", LayoutDiffusers, further("encoder.layers.5.pool.weight", F16, 64), "nothing here uses"},
		{"esrgan", "upscaler", LayoutDiffusers, further("body.0.rdb1.conv6.weight", F16, 64), "nothing here uses"},
	} {
		tensors := append(inMemory(Preset(c.preset), c.layout), c.extra)
		for _, a := range asked {
			err := a.ask(opened(tensors), c.role)
			require.ErrorIs(t, err, ErrTensor, a.who)
			require.ErrorContains(t, err, fmt.Sprintf("tensor %q", c.extra.Name), a.who)
			require.ErrorContains(t, err, c.says, a.who)
		}
	}
}
