package scheduler

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFindDistilled(t *testing.T) {
	type want struct {
		method    Distillation
		scheduler string
		steps     int
		guidance  float64
	}
	const euler, ancestral, ddim, tcd, lcm = "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "DDIMScheduler", "TCDScheduler",
		"LCMScheduler"
	for _, c := range []struct {
		adapter bool
		names   []string
		want
	}{
		// Files of the authors.
		{false, []string{"sd_xl_turbo_1.0_fp16"}, want{"turbo", ancestral, 1, 0}},
		{false, []string{"stabilityai/sdxl-turbo"}, want{"turbo", ancestral, 1, 0}},
		{false, []string{"sdxl_lightning_2step"}, want{"lightning", euler, 2, 0}},
		{false, []string{"sdxl_lightning_8step_unet"}, want{"lightning", euler, 8, 0}},
		{false, []string{"sdxl_lightning_1step_x0"}, want{"lightning", euler, 1, 0}},
		{true, []string{"sdxl_lightning_4step_lora"}, want{"lightning", euler, 4, 0}},
		{false, []string{"latent-consistency/lcm-sdxl"}, want{"lcm", lcm, 4, 1}},
		{true, []string{"latent-consistency/lcm-lora-sdxl", "pytorch_lora_weights"}, want{"lcm", lcm, 4, 1}},
		{true, []string{"LCM_LoRA_SDXL"}, want{"lcm", lcm, 4, 1}},
		{true, []string{"h1t/TCD-SDXL-LoRA", "pytorch_lora_weights"}, want{"tcd", tcd, 4, 0}},
		{true, []string{"Hyper-SDXL-1step-lora"}, want{"hyper", tcd, 1, 0}},
		{true, []string{"Hyper-SDXL-2steps-lora"}, want{"hyper", ddim, 2, 0}},
		{true, []string{"Hyper-SDXL-8steps-lora"}, want{"hyper", ddim, 8, 0}},
		{true, []string{"Hyper-SDXL-8steps-CFG-lora"}, want{"hyper", ddim, 8, 5}},
		{true, []string{"Hyper-SDXL-12steps-CFG-lora"}, want{"hyper", ddim, 12, 5}},
		{false, []string{"Hyper-SDXL-1step-Unet"}, want{"hyper", lcm, 1, 0}},
		{true, []string{"dmd2_sdxl_4step_lora_fp16"}, want{"dmd2", lcm, 4, 0}},
		{false, []string{"dmd2_sdxl_4step_unet_fp16"}, want{"dmd2", lcm, 4, 0}},
		{false, []string{"dmd2_sdxl_1step_unet"}, want{"dmd2", lcm, 1, 0}},
		// Names in the manner of merges.
		{false, []string{"dreamyXL_v2TurboDpmppSDE"}, want{"turbo", ancestral, 1, 0}},
		{false, []string{"dreamyXL_lightningDPMSDE"}, want{"lightning", euler, 4, 0}},
		{false, []string{"SDXLLightning-8steps"}, want{"lightning", euler, 8, 0}},
		{false, []string{"bigCat_XL_HyperSD"}, want{"hyper", tcd, 4, 0}},
		{false, []string{"bigCatXL_v10_Hyper_8step"}, want{"hyper", ddim, 8, 0}},
		{false, []string{"bigCatXL_DMD2"}, want{"dmd2", lcm, 4, 0}},
		{true, []string{"plain", "", "Lightning 8 steps for XL"}, want{"lightning", euler, 8, 0}}, // a title in its metadata
		// No distilled models.
		{false, []string{"sd_xl_base_1.0"}, want{}},
		{false, []string{"HyperRealismXL_v3"}, want{}},
		{false, []string{"hyperion-xl"}, want{}},
		{true, []string{"lightning_bolts"}, want{}},
		{true, []string{"storms-and-lightning-v2"}, want{}},
		{true, []string{"turbo_engines"}, want{}},
		{true, []string{"hyper_detailed_faces"}, want{}},
		{true, []string{"lcmoss-style"}, want{}},
		{false, nil, want{}},
	} {
		d, ok := FindDistilled(c.adapter, c.names...)
		assert.Equal(t, c.want, want{d.Method, d.Scheduler, d.Steps, d.Guidance[0]}, "%v", c.names)
		assert.Equal(t, c.method != "", ok, "%v", c.names)
		if ok {
			_, err := New(d.Scheduler, SDXLDefaults().With(d.Options))
			require.NoError(t, err, "%v", c.names)
			assert.LessOrEqual(t, d.Steps, d.MostSteps, "%v", c.names)
		}
	}
	d, _ := FindDistilled(false, "sdxl_lightning_1step_x0")
	assert.Equal(t, "sample", d.Options.PredictionType)
	assert.Equal(t, "trailing", d.Options.TimestepSpacing)
	d, _ = FindDistilled(false, "Hyper-SDXL-1step-Unet")
	assert.Contains(t, d.Doubt, "800")
}

// TestDMD2Timesteps: the four steps are the ones that the model was distilled for (its model card).
func TestDMD2Timesteps(t *testing.T) {
	d, _ := FindDistilled(false, "dmd2_sdxl_4step_unet")
	s, err := New(d.Scheduler, SDXLDefaults().With(d.Options))
	require.NoError(t, err)
	run, err := s.NewRun(RunOptions{NumInferenceSteps: d.Steps})
	require.NoError(t, err)
	assert.Equal(t, []float64{999, 749, 499, 249}, run.Timesteps())
}

func TestPatternsOfDistilled(t *testing.T) {
	for _, r := range recipes {
		assert.NotNil(t, r.Model, r.Method)
		assert.NotNil(t, r.Adapter, r.Method)
		assert.NotEmpty(t, r.Card, r.Method)
		for _, v := range r.Variants {
			assert.NotNil(t, v.Name, r.Method)
		}
	}
	for name, want := range map[string]string{"sdxlLightning_4step": "-sdxl-lightning-4step-", "SDXLTurbo": "-sdxl-turbo-", "a  b": "-a-b-",
		"LoRA": "-lora-", "v2Turbo": "-v2-turbo-", "": "-", "Ünder_x": "-ünder-x-"} {
		assert.Equal(t, want, foldName(name), name)
	}
}
