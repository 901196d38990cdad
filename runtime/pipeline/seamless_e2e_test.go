//go:build !race

package pipeline

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/rng"
)

// rolled moves planes of height x width cells to the right and down; what leaves on one side comes in on the other.
func rolled(in []float32, height, width, right, down int) []float32 {
	out := make([]float32, len(in))
	for i, v := range in {
		x, y, plane := i%width, i/width%height, i/width/height
		out[(plane*height+(y+down)%height)*width+(x+right)%width] = v
	}
	return out
}

// TestSeamlessPicturesHaveNoBorder: with all borders wrapped there is no place where the picture begins, so noise that is shifted makes the
// same picture shifted: by a multiple of four cells, which the UNet's levels keep. With one axis wrapped that holds along it, and without
// it does not.
func TestSeamlessPicturesHaveNoBorder(t *testing.T) {
	p := openNano(t, backend.PrecisionF32)
	base := request.Request{Prompt: "a red circle on a blue background", Seed: 11, NumInferenceSteps: 2}
	noise := make([]float32, 4*16*16)
	g, err := rng.New(rng.CPU, 11)
	require.NoError(t, err)
	g.Normal(noise)
	paint := func(seamless string, right, down int) Image {
		r := base
		r.Seamless = seamless
		r.Noise = request.Array{Shape: []int{1, 4, 16, 16}, Data: rolled(noise, 16, 16, right, down)}
		return generate(t, p, r).Images[0]
	}
	unmoved := map[string]Image{}
	for _, seamless := range []string{request.SeamlessNone, request.SeamlessX, request.SeamlessY, request.SeamlessBoth} {
		unmoved[seamless] = paint(seamless, 0, 0)
	}
	distance := func(seamless string, right, down int) float64 {
		return relativeL2(t, paint(seamless, right, down).Latents.Data, rolled(unmoved[seamless].Latents.Data, 16, 16, right, down))
	}
	assert.Less(t, distance(request.SeamlessBoth, 4, 8), 1e-3)
	assert.Less(t, distance(request.SeamlessX, 8, 0), 1e-3)
	assert.Less(t, distance(request.SeamlessY, 0, 4), 1e-3)
	assert.Greater(t, distance(request.SeamlessX, 0, 4), 1e-2)
	assert.Greater(t, distance(request.SeamlessNone, 8, 0), 1e-2)

	whole, shifted := unmoved[request.SeamlessBoth], paint(request.SeamlessBoth, 8, 4)
	worst := 0
	for y := range 128 {
		for x := range 128 {
			a, b := whole.NRGBAAt(x, y), shifted.NRGBAAt((x+64)%128, (y+32)%128)
			worst = max(worst, max(int(a.R), int(b.R))-min(int(a.R), int(b.R)))
		}
	}
	assert.LessOrEqual(t, worst, 2, "the VAE wraps too")
}
