//go:build !race

package pipeline

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/conditioning"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// encoded is what a request's texts become on a pipeline.
func encoded(t *testing.T, p *Pipeline, r request.Request) *conditioning.Conditioning {
	t.Helper()
	plan, err := p.Plan(r)
	require.NoError(t, err)
	s := p.newSitting(sittingOptions{})
	m := s.join(plan, nil, nil)
	require.NoError(t, s.readTexts(t.Context(), m))
	return m.Base.Now()
}

// TestGoldenEmptyNegative: an empty negative prompt that is written is encoded as in diffusers, one that is not is zeros.
func TestGoldenEmptyNegative(t *testing.T) {
	p := openNano(t, backend.PrecisionExact)
	for negative, empty := range map[string]bool{``: false, `, "negative_prompt": null`: false, `, "negative_prompt": ""`: true,
		`, "negative_prompt": "", "cfg_scale": 5`: false} { // as A1111 writes it
		run, err := request.DecodeJSON(fmt.Appendf(nil, `{"prompt": "a red circle on a blue background"%s}`, negative))
		require.NoError(t, err)
		got := encoded(t, p, run.Jobs[0]).Negative
		if !empty {
			assert.Equal(t, make([]float32, len(got.Context)), got.Context, negative)
			assert.Equal(t, make([]float32, len(got.Pooled)), got.Pooled, negative)
			continue
		}
		assert.Less(t, relativeL2(t, got.Context, golden(t, "text_empty_context").Data), 5e-5, negative)
		assert.Less(t, relativeL2(t, got.Pooled, golden(t, "text_empty_pooled").Data), 5e-5, negative)
	}
}

// TestRefinerNegativeCrop: of a refiner it is [0, 0] unless it is given; of the base it is the positive one.
func TestRefinerNegativeCrop(t *testing.T) {
	p, err := Open(t.Context(), Config{Model: NanoModel, Precision: backend.PrecisionExact, Threads: 1, Refiner: nanoRefiner(t, false)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	plan, err := p.Plan(request.Request{Prompt: "x", Width: 128, Height: 64, CropsCoordsTopLeft: request.Point{Top: 8, Left: 16}})
	require.NoError(t, err)
	s := p.newSitting(sittingOptions{})
	m := s.join(plan, nil, nil)
	require.NoError(t, s.readTexts(t.Context(), m))
	t.Cleanup(func() { require.NoError(t, m.refiner.Release()) })
	assert.Equal(t, []float32{64, 128, 8, 16, 64, 128}, m.Base.Now().Negative.SizeIDs)
	assert.Equal(t, []float32{64, 128, 8, 16, 6}, m.Refiner.Now().Positive[0].SizeIDs)
	assert.Equal(t, []float32{64, 128, 0, 0, 2.5}, m.Refiner.Now().Negative.SizeIDs)
}
