package models

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// TestNamesOfDistilledModels: names speak for a UNet, its files go before them, and another UNet's names do not count.
func TestNamesOfDistilledModels(t *testing.T) {
	guidance := 2.0
	snapshot := filepath.Join("hub", "models--stabilityai--sdxl-turbo", "snapshots", "0123456789012345678901234567890123456789")
	type in struct {
		role   string
		report modelfile.Report
	}
	for what, c := range map[string]struct {
		files    []in
		method   scheduler.Distillation
		steps    int
		guidance float64
		width    int
	}{
		"a name":     {[]in{{"model", modelfile.Report{Path: "/m/sdxl_lightning_8step.safetensors"}}}, "lightning", 8, 1, 1024},
		"repository": {[]in{{"model", modelfile.Report{Path: snapshot}}}, "turbo", 1, 1, 512},
		"a title": {[]in{{"model", modelfile.Report{Path: "/m/x.safetensors", Metadata: map[string]string{"modelspec.title": "Big Cat DMD2"}}}},
			"dmd2", 4, 1, 1024},
		"its own defaults": {[]in{{"model", modelfile.Report{Path: "/m/catLightning.safetensors",
			Config: modelfile.Config{Default: modelfile.DefaultConfig{NumInferenceSteps: 6, GuidanceScale: &guidance}}}}}, "lightning", 6, 2, 1024},
		"another UNet": {[]in{{"model", modelfile.Report{Path: "/m/catLightning.safetensors"}},
			{"unet", modelfile.Report{Path: "/m/dog.safetensors"}}},
			"", 30, 5, 1024},
		"a distilled UNet": {[]in{{"model", modelfile.Report{Path: "/m/dog.safetensors"}},
			{"unet", modelfile.Report{Path: "/m/sdxl_lightning_2step_unet.safetensors"}}}, "lightning", 2, 1, 1024},
		"a VAE's name": {[]in{{"model", modelfile.Report{Path: "/m/dog.safetensors"}},
			{"vae", modelfile.Report{Path: "/m/lightning_vae.safetensors"}}},
			"", 30, 5, 1024},
		"a refiner": {[]in{{"refiner", modelfile.Report{Path: "/m/lightning_refiner.safetensors"}}}, "", 30, 5, 1024},
	} {
		o := Opening{Settings: SDXLSettings()}
		for _, f := range c.files {
			_, err := o.adopt(f.role, f.report)
			require.NoError(t, err, what)
		}
		s := o.Settings
		s.Adopt(backend.ModelInfo{VAE: backend.VAEInfo{Downscale: 8}})
		assert.Equal(t, []any{c.method, c.steps, c.guidance, c.width}, []any{s.Distilled.Method, s.Steps, s.Guidance, s.Width}, what)
	}
	o := Opening{Settings: SDXLSettings()}
	_, err := o.adopt("model", modelfile.Report{Path: "/m/lcm-sdxl.safetensors"})
	require.NoError(t, err)
	o.Settings.Adopt(backend.ModelInfo{VAE: backend.VAEInfo{Downscale: 8}, UNet: backend.UNetInfo{GuidanceDim: 256}})
	assert.Equal(t, []any{lcmScheduler, lcmSteps, float64(lcmGuidance)},
		[]any{o.Settings.SchedulerName, o.Settings.Steps, o.Settings.Guidance},
		"a UNet that is told the scale is run with it")
}
