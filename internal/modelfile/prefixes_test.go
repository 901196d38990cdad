//go:build !race

package modelfile_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// What is looked at and what is opened find every component under all prefixes that programs write: one table says which.
func TestPrefixes(t *testing.T) {
	layouts := map[modelfile.Layout]string{}
	for _, layout := range []modelfile.Layout{modelfile.LayoutOriginal, modelfile.LayoutDiffusers} {
		layouts[layout] = written(t, "m.safetensors", synth.Options{Dims: small(), Layout: layout})
	}
	const original, diffusers = modelfile.LayoutOriginal, modelfile.LayoutDiffusers
	for _, c := range []struct {
		layout   modelfile.Layout
		from, to string
	}{
		{original, "model.diffusion_model.", "diffusion_model."},
		{original, "model.diffusion_model.", "unet."},
		{original, "model.diffusion_model.", "model."},
		{original, "model.diffusion_model.", "model.model."},
		{original, "model.diffusion_model.", "model.unet."},
		{original, "model.diffusion_model.", "net."},
		{original, "model.diffusion_model.", ""},
		{original, "model.diffusion_model.", "model.diffusion_model._orig_mod."},
		{original, "first_stage_model.", "vae."},
		{original, "first_stage_model.", "model.first_stage_model."},
		{original, "first_stage_model.", "autoencoder."},
		{original, "first_stage_model.", ""},
		{original, "first_stage_model.", "first_stage_model.module."},
		{original, "conditioner.embedders.0.transformer.", "cond_stage_model.transformer."},
		{original, "conditioner.embedders.0.transformer.", "text_encoders.clip_l.transformer."},
		{original, "conditioner.embedders.0.transformer.", "text_encoders.clip_l."},
		{original, "conditioner.embedders.0.transformer.", "clip_l."},
		{original, "conditioner.embedders.0.transformer.", "te."},
		{original, "conditioner.embedders.0.transformer.", "te1."},
		{original, "conditioner.embedders.0.transformer.text_model.", "te1."},
		{original, "conditioner.embedders.1.model.", "cond_stage_model.1.model."},
		{original, "conditioner.embedders.1.model.", "text_encoders.clip_g."},
		{original, "conditioner.embedders.1.model.", "te2."},
		{original, "", "_orig_mod."},
		{original, "", "module."},
		{original, "", "module._orig_mod."},
		{diffusers, "unet.", "model.diffusion_model."},
		{diffusers, "unet.", "unet._orig_mod."},
		{diffusers, "unet.", "unet._fsdp_wrapped_module."},
		{diffusers, "vae.", "first_stage_model."},
		{diffusers, "text_encoder.", "text_encoder_1."},
		{diffusers, "text_encoder.text_model.", "text_encoder."},
		{diffusers, "text_encoder_2.", "text_encoder.2."},
		{diffusers, "text_encoder_2.", "conditioner.embedders.1.transformer."},
		{diffusers, "text_encoder_2.", "cond_stage_model.1.transformer."},
		{diffusers, "text_encoder_2.", "text_encoders.clip_g.transformer."},
		{diffusers, "text_encoder_2.", "clip_g."},
		{diffusers, "text_encoder_2.", "te2."},
		{diffusers, "text_encoder_2.text_model.", "te2."},
		{diffusers, "", "module."},
	} {
		t.Run(c.from+" as "+c.to, func(t *testing.T) {
			path := renamed(t, layouts[c.layout], func(n string) string {
				if rest, ok := strings.CutPrefix(n, c.from); ok {
					n = c.to + rest
				}
				if n == "text_encoder_2.text_projection.weight" && c.from == "text_encoder_2.text_model." {
					n = "te2.text_projection.weight"
				}
				return n
			})
			r, err := modelfile.Check(path, modelfile.KindSDXLBase)
			require.NoError(t, err)
			assert.Empty(t, r.Warnings)
			_, left := r.Component("other")
			assert.False(t, left)
			requireSameWeights(t, tableOf(t, backend.Files{Model: layouts[c.layout]}), tableOf(t, backend.Files{Model: path}))
		})
	}
}
