package words

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNearest(t *testing.T) {
	known := []string{"prompt", "negative-prompt", "seed", "steps", "guidance-scale", "guidance-rescale", "n", "out", "model"}
	for name, want := range map[string]string{
		"promt": "prompt", "Prompt": "prompt", "negative_promt": "negative-prompt", "guidance": "guidance-scale",
		"guidancescale": "guidance-scale", "sed": "seed", "step": "steps", "mdoel": "model", "num_images": "", "xyz": "", "": "",
		"guidance-rescal": "guidance-rescale",
	} {
		got, ok := Nearest(name, known)
		assert.Equal(t, want, got, name)
		assert.Equal(t, want != "", ok, name)
	}
}

func TestPhrase(t *testing.T) {
	assert.Equal(t, `; did you mean "seed"?`, Phrase("sead", []string{"seed"}))
	assert.Empty(t, Phrase("zzz", []string{"seed"}))
}
