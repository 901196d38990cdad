//go:build vulkan && !race

package pipeline

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile/modeltest"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestExactVulkanFeatures: adapters of every algorithm, scaled FP8 and a UNet that is told the guidance scale make the CPU's latents, which
// are diffusers' (TestGoldenLoRAsLive, TestGoldenAlgorithmsLive, TestScaledPictures, TestGoldenTold). So do masks and prompts. One step is made: lavapipe is slow.
func TestExactVulkanFeatures(t *testing.T) {
	vulkanBackend(t)
	require.NotEmpty(t, os.Getenv("GGML_VK_DISABLE_F16"), "without it ggml rounds the factors of products, and nothing is exact")
	compare := func(name string, cfg Config, requests map[string]request.Request) {
		t.Run(name, func(t *testing.T) {
			cfg.Precision = backend.PrecisionExact
			cfg.Device = "cpu"
			cpu := openOn(t, cfg)
			cfg.Device = vulkanDevice()
			gpu := openOn(t, cfg)
			for name, r := range requests {
				r.NumInferenceSteps, r.Width, r.Height = 1, 64, 64
				l2 := relativeL2(t, latentsOf(t, gpu, r), latentsOf(t, cpu, r))
				t.Logf("%-20s %.2g relative L2", name, l2)
				assert.Less(t, l2, 1e-4, name)
			}
		})
	}
	adapted := map[string]request.Request{}
	with := func(r request.Request, name string, adapters ...lora.Adapter) {
		r.LoRAs = adapters
		adapted[name] = r
	}
	g, r := readGoldenLoRAs(t)
	var stack []lora.Adapter
	for name, weight := range g.Stack {
		stack = append(stack, g.adapter(name, weight))
		with(r, name, g.adapter(name, weight))
	}
	with(r, "stack", stack...)
	a, r := readGoldenAlgorithms(t)
	for name, adapters := range a.stacks() {
		with(r, "algorithm "+name, adapters...)
	}
	compare("adapters", Config{}, adapted)

	plain := map[string]request.Request{"": oneStep()}
	scaled, _ := nanoTensors(t).Scaled(t, modeltest.Scaling{Marker: unetPrefix + "scaled_fp8", Activation: ".scale_input"})
	compare("scaled FP8", Config{Model: scaled.Write(t, "scaled.safetensors")}, plain)

	told := stripped(t).With(modeltest.GuidanceProjection(unetPrefix + "time_embedding.cond_proj.weight"))
	_, lcm := readRun(t, "lcm_8")
	lcm.Scheduler = ""
	compare("told guidance", Config{Model: told.Write(t, "lcm.safetensors")}, map[string]request.Request{"lcm_8": lcm})

	painted := map[string]request.Request{}
	for name, how := range map[string]request.Inpaint{"mask": {Blur: 2}, "soft mask": {Soft: true}, "latent noise": {Fill: request.FillLatentNoise},
		"only masked": {OnlyMasked: true}} {
		r := oneStep()
		r.InitImage, r.MaskImage = request.Picture{Image: gradient(64, 64)}, request.Picture{Image: rightHalf(64, 64)}
		r.Strength, r.Inpaint = 1, how
		painted[name] = r
	}
	compare("inpainting", Config{}, painted)

	written := map[string]request.Request{}
	for name, prompt := range map[string]string{"AND": "a red circle :1.2 AND a blue square :0.6", "editing": "a [red:blue:0.5] (circle:1.3)",
		"BREAK": "a red circle BREAK on a green background", "alternation": "a [red|blue] circle"} {
		r := oneStep()
		r.Prompt, r.NegativePrompt = prompt, "a yellow star"
		written[name] = r
	}
	compare("prompts", Config{}, written)
}
