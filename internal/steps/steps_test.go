package steps

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/controlnet"
)

func TestApplyGuidance(t *testing.T) {
	negative, positive := []float32{1, 2, -1}, []float32{2, 2, 0.5}
	applyGuidance(negative, positive, 5)
	assert.Equal(t, []float32{6, 2, 6.5}, negative)
}

func TestRescaleGuidance(t *testing.T) {
	// By hand: std([1 2 3 4]) = 1.290994, std([2 4 6 8]) = 2.581989, so the factor is 1/2.
	positive := []float32{1, 2, 3, 4}
	guided := []float32{2, 4, 6, 8}
	rescaleGuidance(guided, positive, 1)
	assert.InDeltaSlice(t, []float32{1, 2, 3, 4}, guided, 1e-6)
	guided = []float32{2, 4, 6, 8}
	rescaleGuidance(guided, positive, 0.5)
	assert.InDeltaSlice(t, []float32{1.5, 3, 4.5, 6}, guided, 1e-6)
	flat := []float32{3, 3, 3, 3}
	rescaleGuidance(flat, positive, 1)
	assert.Equal(t, []float32{3, 3, 3, 3}, flat, "nothing to rescale is left alone")
	assert.InDelta(t, 1.2909944, deviation([]float32{1, 2, 3, 4}), 1e-6)
	assert.Zero(t, deviation([]float32{5}))
}

// TestResizingIsTorchs: torch.nn.functional.interpolate's values for the squares of 0 to 5 as 2 x 3.
func TestResizingIsTorchs(t *testing.T) {
	src := []float32{0, 1, 4, 9, 16, 25}
	assert.InDeltaSlice(t, []float32{0, 0.625, 2.125, 4, 0.9, 1.9, 3.85, 6.1, 4.5, 7, 10.75, 14.5, 8.1, 12.1, 17.65, 22.9, 9, 13.375, 19.375,
		25},
		ResizeBilinear(src, 2, 3, 5, 4), 1e-5)
	assert.Equal(t, []float32{0, 0, 1, 4, 0, 0, 1, 4, 0, 0, 1, 4, 9, 9, 16, 25, 9, 9, 16, 25}, ResizeNearest(src, 2, 3, 5, 4))
}

func TestResidualScales(t *testing.T) {
	assert.Equal(t, []float32{0.1, 0.31622776, 1}, residualScales(3, 1, controlnet.Control))
	assert.Equal(t, []float32{0.5, 0.5}, residualScales(2, 0.5, controlnet.Balanced))
	_, err := unionKind("canny", 8)
	require.NoError(t, err)
}
