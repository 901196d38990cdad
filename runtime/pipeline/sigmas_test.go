package pipeline

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestSigmas asks for spacings of the noise levels by their words: the same as by options, and refused by name.
func TestSigmas(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	plain := small("a fox")
	karras, options, table, both := plain, plain, plain, plain
	karras.Sigmas = "karras"
	options.SchedulerOptions = map[string]any{"use_karras_sigmas": true}
	table.Sigmas, table.NumInferenceSteps = "ays", 10
	both.Sigmas, both.SchedulerOptions = "karras", map[string]any{"use_karras_sigmas": false}

	latents := func(r request.Request) []float32 { return generate(t, p, r).Images[0].Latents.Data }
	assert.Equal(t, latents(options), latents(karras))
	assert.NotEqual(t, latents(plain), latents(karras))
	assert.Equal(t, latents(plain), latents(both), "scheduler_options go before sigmas")
	tenSteps := plain
	tenSteps.NumInferenceSteps = 10
	assert.NotEqual(t, latents(tenSteps), latents(table))

	wrong := plain
	wrong.Sigmas = "karas"
	_, err := p.Generate(t.Context(), wrong)
	var errs request.Errors
	require.ErrorAs(t, err, &errs)
	assert.Equal(t, "sigmas", errs[0].Path)
	assert.Contains(t, errs[0].Message, "did you mean karras?")
}
