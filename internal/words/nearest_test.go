package words

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNearest(t *testing.T) {
	flags := []string{"prompt", "negative-prompt", "seed", "steps", "guidance-scale", "guidance-rescale", "n", "out", "model", "width"}
	for name, want := range map[string]string{
		"promt": "prompt", "Prompt": "prompt", "negative_promt": "negative-prompt", "guidance": "guidance-scale",
		"guidancescale": "guidance-scale", "sed": "seed", "step": "steps", "mdoel": "model", "num_images": "", "xyz": "", "": "",
		"guidance-rescal": "guidance-rescale", "widht": "width", "GuidanceScale": "guidance-scale", "zebra": "", "q": "",
		strings.Repeat("prompt", 1000): "",
	} {
		assert.Equal(t, want, Nearest(name, flags), name)
	}
	assert.Equal(t, "f32", Nearest("f64", []string{"auto", "exact", "f32", "f16"}), "of three letters two may differ")
	assert.Equal(t, []string{"Euler", "k_euler", "Euler a"}, Near("Eulr", []string{"Heun", "k_euler", "Euler", "Euler a"}, 3))
	assert.Empty(t, Near("Eulr", nil, 3))
	assert.Equal(t, []string{"steps", "styles"}, Near("stpes", []string{"styles", "steps"}, 3), "two letters in each other's place")
}

func TestDidYouMean(t *testing.T) {
	assert.Equal(t, `; did you mean "seed"?`, DidYouMean("sead", []string{"seed"}))
	assert.Empty(t, DidYouMean("zzzz", []string{"seed"}))
}
