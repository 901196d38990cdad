package progress

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestProfileAddsUpByOperationAndByModule(t *testing.T) {
	p := Profile{Operations: []Operation{
		{Stage: "unet", Module: "down_blocks.1.attentions.0.proj_in", Op: "matmul_bf16", Calls: 2, Seconds: 1, Operations: 2e12},
		{Stage: "unet", Module: "down_blocks.1.attentions.0.transformer_blocks.0.ff", Op: "matmul_bf16", Calls: 3, Seconds: 2, Operations: 4e12},
		{Stage: "unet", Module: "conv_in", Op: "conv2d_bf16", Calls: 1, Seconds: 1, Operations: 5e11},
		{Stage: "vae_decode", Op: "SOFT_MAX", Calls: 1, Seconds: 4},
	}}
	text := p.String()
	assert.Regexp(t, `unet +calls +seconds +share +GFLOP/s`, text)
	assert.Regexp(t, `matmul_bf16 +5 +3\.000 +75\.0 % +2000`, text)
	assert.Regexp(t, `conv2d_bf16 +1 +1\.000 +25\.0 % +500`, text)
	assert.Regexp(t, `down_blocks\.1\.attentions\.0 +5 +3\.000`, text)
	assert.Regexp(t, `SOFT_MAX +1 +4\.000 +100\.0 %`, text)
	assert.Regexp(t, `\(before any weight\) +1 +4\.000`, text)
	assert.Equal(t, []string{"unet", "vae_decode"}, p.stages())
}
