//go:build !race

package pipeline

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestGoldenPrompts compares the prompt language with its arithmetic restated on diffusers' networks in tools/goldens/prompts.py: editing
// in both halves, alternation, AND with weights, ComfyUI's weights; with the halves of guidance in one evaluation and one after the other.
func TestGoldenPrompts(t *testing.T) {
	p := openNano(t, backend.PrecisionExact)
	for _, name := range []string{"edit", "edit_steps", "alternate", "and", "comfyui"} {
		for _, halves := range []string{request.GuidanceJoint, request.GuidanceSeparate} {
			_, r := readRun(t, name)
			r.GuidanceBatch = halves
			if name == "comfyui" {
				r.PromptSyntax = request.SyntaxComfyUI
			}
			if name == "edit_steps" {
				r.ForceZerosForEmptyPrompt = new(false)
			}
			out := generate(t, p, r)
			l2 := relativeL2(t, out.Images[0].Latents.Data, golden(t, "run_"+name+"_latents").Data)
			t.Logf("%-12s %-8s latents %.2g relative L2", name, halves, l2)
			assert.Less(t, l2, 1e-3, name)
		}
	}
}
