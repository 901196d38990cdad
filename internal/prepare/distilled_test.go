package prepare

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// distilledTarget has adapters of these names, and a model of that name.
func distilledTarget(t *testing.T, model string, loras ...string) *Target {
	t.Helper()
	dir := t.TempDir()
	for _, name := range loras {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".safetensors"), []byte(name), 0o600))
	}
	target := newTarget(t, &fake.Backend{})
	target.Refiner, target.Adapters = false, adapters.NewLibrary(dir)
	if d, ok := scheduler.FindDistilled(false, model); ok {
		target.Settings.AdoptDistilled(d)
	}
	return target
}

// TestDistilledDefaults: what a request leaves out is as the authors of a distilled model or adapter run it, and that is said. What it says
// stays.
func TestDistilledDefaults(t *testing.T) {
	stack := func(weight float64, name string) []lora.Adapter { return []lora.Adapter{{Name: name, Weight: &weight}} }
	type want struct {
		scheduler string
		steps     int
		guidance  float64
		warnings  []string // beginnings, or parts
	}
	for what, c := range map[string]struct {
		model string
		loras []string
		request.Request
		want
	}{
		"no distilled model": {"sd_xl_base_1.0", nil, request.Request{}, want{"EulerDiscreteScheduler", 30, 5, nil}},
		"model": {"sdxl_lightning_4step", nil, request.Request{}, want{"EulerDiscreteScheduler", 4, 1, []string{
			"the model is SDXL Lightning, as its name says: scheduler is EulerDiscrete, num_inference_steps is 4 and guidance_scale is 1 unless"}}},
		"adapter": {"sd_xl_base_1.0", []string{"dmd2_sdxl_4step_lora"}, request.Request{LoRAs: stack(1, "dmd2_sdxl_4step_lora")},
			want{"LCMScheduler", 4, 1, []string{`the LoRA "dmd2_sdxl_4step_lora" is DMD2, as its name says: scheduler is LCM, num_inf`}}},
		"adapter that hardly acts": {"sd_xl_base_1.0", []string{"lcm-lora"}, request.Request{LoRAs: stack(0.2, "lcm-lora")},
			want{"EulerDiscreteScheduler", 30, 5, nil}},
		"adapter by a tag": {"sd_xl_base_1.0", []string{"lcm-lora"}, request.Request{Prompt: "x <lora:lcm-lora:0.8>"},
			want{"LCMScheduler", 4, 1, []string{"is LCM, as its name says"}}},
		"the request says all": {"sdxl_lightning_4step", nil, request.Request{Scheduler: "Heun", NumInferenceSteps: 6, GuidanceScale: 2},
			want{"HeunDiscreteScheduler", 6, 2, nil}},
		"the request says something": {"sd_xl_turbo_1.0", nil, request.Request{NumInferenceSteps: 2},
			want{"EulerAncestralDiscreteScheduler", 2, 1,
				[]string{"scheduler is EulerAncestralDiscrete and guidance_scale is 1 unless you say otherwise (https://huggingface.co/stabilityai"}}},
		"too much guidance, too many steps": {"sd_xl_turbo_1.0", nil,
			request.Request{Scheduler: "euler_a", NumInferenceSteps: 30, GuidanceScale: 7},
			want{"EulerAncestralDiscreteScheduler", 30, 7, []string{"guidance_scale is 7, and the model is SDXL Turbo, which needs little or none",
				"num_inference_steps is 30, and the model is SDXL Turbo for 1: more than 8"}}},
		"another scheduler": {"sdxl", []string{"lcm-lora"}, request.Request{Scheduler: "Euler", LoRAs: stack(1, "lcm-lora")},
			want{"EulerDiscreteScheduler", 4, 1, []string{"num_inference_steps is 4 and guidance_scale is 1", "which only LCM fits"}}},
		"guidance is kept": {"sdxl", []string{"Hyper-SDXL-8steps-CFG-lora"}, request.Request{LoRAs: stack(1, "Hyper-SDXL-8steps-CFG-lora"),
			GuidanceScale: 1}, want{"DDIMScheduler", 8, 1, []string{"scheduler is DDIM", "keeps guidance; use 5 to 8"}}},
		"what cannot be asked for": {"Hyper-SDXL-1step-Unet", nil, request.Request{NumInferenceSteps: 1, GuidanceScale: 1, Scheduler: "LCM"},
			want{"LCMScheduler", 1, 1, []string{"begin at timestep 800"}}},
		"a negative prompt that does nothing": {"sdxl_lightning_4step", nil, request.Request{NegativePrompt: "blurry", Scheduler: "Euler",
			NumInferenceSteps: 4, GuidanceScale: 1}, want{"EulerDiscreteScheduler", 4, 1, []string{"the negative prompt does nothing"}}},
	} {
		if c.Prompt == "" {
			c.Prompt = "x"
		}
		p, err := distilledTarget(t, c.model, c.loras...).Prepare(c.Request)
		require.NoError(t, err, what)
		assert.Equal(t, []any{c.scheduler, c.steps, c.guidance}, []any{p.Scheduler.Name(), p.Request.NumInferenceSteps, p.Request.GuidanceScale},
			what)
		require.Len(t, p.Warnings, len(c.warnings), "%s: %s", what, strings.Join(p.Warnings, "\n"))
		for i, w := range c.warnings {
			assert.Contains(t, p.Warnings[i], w, what)
		}
		again, err := distilledTarget(t, c.model, c.loras...).Prepare(p.Request)
		require.NoError(t, err, what)
		assert.Equal(t, p.Request.NumInferenceSteps, again.Request.NumInferenceSteps, what)
	}
}

// TestOptionsOfADistilledModel: spacing and eta are the authors', and a request's own go before them.
func TestOptionsOfADistilledModel(t *testing.T) {
	p, err := distilledTarget(t, "x-tcd-x").Prepare(request.Request{Prompt: "x", SchedulerOptions: map[string]any{"eta": 0.5}})
	require.NoError(t, err)
	assert.InDelta(t, 0.5, *p.Scheduler.Config().Eta, 0)
	p, err = distilledTarget(t, "sdxl_lightning_4step").Prepare(request.Request{Prompt: "x"})
	require.NoError(t, err)
	assert.Equal(t, "trailing", p.Scheduler.Config().TimestepSpacing)
}
