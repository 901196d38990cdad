//go:build !race

package pipeline

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/checker"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestNanoLoRAsGrowWithTheirWeight: the checker sees more of each adapter's mark at every weight.
func TestNanoLoRAsGrowWithTheirWeight(t *testing.T) {
	p := openNano(t, backend.PrecisionAuto)
	prompts := []string{"a red circle on a blue background", "a big yellow square on a green background",
		"a green triangle on a white background", "a blue star on a yellow background", "a white circle on a purple background",
		"an orange square on a blue background"}
	for file, effect := range map[string]struct {
		trigger string
		mark    func(checker.Marks) float64
	}{
		"nano-lora-outline.safetensors": {"outlined", checker.Marks.Outline},
		"nano-lora-stripes.safetensors": {"striped", checker.Marks.Stripes},
	} {
		var means []float64
		for _, weight := range []float64{0, 0.5, 1} {
			sum := 0.0
			for i, text := range prompts {
				_, rest, _ := strings.Cut(text, " ")
				r := request.Request{Prompt: "a " + effect.trigger + " " + rest, NumInferenceSteps: 15, Seed: int64(i),
					LoRAs: []lora.Adapter{{Path: "../../models/nano/" + file, Weight: new(weight)}}}
				out, err := p.Generate(t.Context(), r)
				require.NoError(t, err)
				want, err := checker.Parse(text)
				require.NoError(t, err)
				sum += effect.mark(checker.CheckMarks(out.Images[0].NRGBA, want))
			}
			means = append(means, sum/float64(len(prompts)))
		}
		t.Logf("%s: %.2f at weight 0, %.2f at 0.5, %.2f at 1", file, means[0], means[1], means[2])
		assert.Less(t, means[0], 0.1, file)
		assert.Greater(t, means[1], means[0], file)
		assert.Greater(t, means[2], means[1], file)
		assert.Greater(t, means[2], 0.3, file)
	}
}
