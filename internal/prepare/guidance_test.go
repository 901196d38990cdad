package prepare

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestSamplersWithCFGPlusPlus: other programs' names are a scheduler and a way to guide. Its scale is not that of others, and preparing
// again changes nothing.
func TestSamplersWithCFGPlusPlus(t *testing.T) {
	target := newTarget(t, &fake.Backend{})
	for name, want := range map[string]string{"euler_cfg_pp": "EulerDiscreteScheduler", "Euler CFG++": "EulerDiscreteScheduler",
		"euler_ancestral_cfg_pp": "EulerAncestralDiscreteScheduler", "ddim cfg++": "DDIMScheduler"} {
		p, err := target.Prepare(request.Request{Prompt: "x", Scheduler: name})
		require.NoError(t, err, name)
		assert.Equal(t, want, p.Scheduler.Name())
		assert.Equal(t, request.GuidanceCFGPlusPlus, p.Request.Guidance.Method)
		assert.InDelta(t, request.DefaultPlusPlusGuidance, p.Request.GuidanceScale, 0)
		assert.Empty(t, p.Warnings)
		again, err := target.Prepare(p.Request)
		require.NoError(t, err)
		assert.Equal(t, p.Request, again.Request)
	}
	p, err := target.Prepare(request.Request{Prompt: "x", Scheduler: "euler_cfg_pp", GuidanceScale: 7})
	require.NoError(t, err)
	require.Len(t, p.Warnings, 1)
	assert.Contains(t, p.Warnings[0], "guidance_scale is 7, and CFG++ has scales from 0 to about 1")
}

// TestGuidanceThatCannotBe is refused before any weight is read.
func TestGuidanceThatCannotBe(t *testing.T) {
	plus := request.Guidance{Method: request.GuidanceCFGPlusPlus}
	for want, c := range map[string]struct {
		distilled bool
		r         request.Request
	}{
		"guidance.method: is apg, and the scheduler DDIM CFG++ means cfg_plus_plus; leave one of them out": {r: request.Request{
			Scheduler: "DDIM CFG++", Guidance: request.Guidance{Method: request.GuidanceAPG}}},
		"guidance.method: apg needs guidance; raise guidance_scale above 1, or leave it out": {r: request.Request{
			GuidanceScale: 1, Guidance: request.Guidance{Method: request.GuidanceAPG}}},
		"guidance.method: cfg_zero_star needs a negative half, and this UNet has none": {distilled: true, r: request.Request{
			Guidance: request.Guidance{Method: request.GuidanceCFGZeroStar}}},
		"guidance.method: is cfg_plus_plus, which HeunDiscreteScheduler does not offer": {r: request.Request{Scheduler: "Heun", Guidance: plus}},
		"guidance.method: is cfg_plus_plus, which EulerDiscreteScheduler does not offer; use EulerDiscrete without s_churn": {
			r: request.Request{Scheduler: "Euler", Guidance: plus, SchedulerOptions: map[string]any{"s_churn": 3.0}}},
	} {
		b := &fake.Backend{}
		if c.distilled {
			b.GuidanceDim = 256
		}
		target := newTarget(t, b)
		c.r.Prompt = "x"
		_, err := target.Prepare(c.r)
		assert.ErrorContains(t, err, want)
	}
}
