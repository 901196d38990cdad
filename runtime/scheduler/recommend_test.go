package scheduler

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// entry is a database entry with one evaluation a step; errs are at 5, 10, 20 and 40 steps, nil for a stochastic one.
func entry(name string, right int, errs ...float64) Characteristics {
	c := Characteristics{Scheduler: name, Label: name, Stochastic: errs == nil}
	for i, steps := range []int{5, 10, 20, 40} {
		m := Measurement{Steps: steps, Evaluations: steps, Pictures: 8, Right: 8, All: 7}
		if errs != nil {
			m.Error = &errs[i]
		}
		c.Steps = append(c.Steps, m)
	}
	c.Recommended = Measurement{Steps: 20, Evaluations: 20, Pictures: 40, Right: right, All: right}
	return c
}

var testDatabase = func() Database {
	lms := entry("LMSDiscreteScheduler", 40, 0.001, 0.001, 0.001, 0.001)
	edm := entry("EDMEulerScheduler", 40, 0, 0, 0, 0)
	edm.Needs = NeedsEDM
	heun := entry("HeunDiscreteScheduler", 40, 0.2, 0.04, 0.02, 0.01)
	for i := range heun.Steps {
		heun.Steps[i].Evaluations = 2*heun.Steps[i].Steps - 1
	}
	karras := entry("DPMSolverMultistepScheduler", 39, 0.3, 0.1, 0.008, 0.004)
	karras.Options.UseKarrasSigmas = new(true)
	return Database{Entries: []Characteristics{entry("EulerDiscreteScheduler", 38, 0.4, 0.2, 0.1, 0.05), heun, karras, lms, edm,
		entry("DDIMScheduler", 38, 0.5, 0.3, 0.2, 0.1), entry("EulerAncestralDiscreteScheduler", 37), entry("SASolverScheduler", 36)}}
}()

func TestRecommendChooses(t *testing.T) {
	for name, c := range map[string]struct {
		query     Query
		scheduler string
		steps     int
	}{
		"default is balanced":          {Query{}, "LMSDiscreteScheduler", 20},
		"fast":                         {Query{UseCase: "fast"}, "LMSDiscreteScheduler", 10},
		"few steps, not distilled":     {Query{UseCase: "few-step"}, "LMSDiscreteScheduler", 5},
		"img2img starts at once":       {Query{UseCase: "img2img"}, "DPMSolverMultistepScheduler", 20},
		"inpainting has no history":    {Query{UseCase: "inpaint"}, "HeunDiscreteScheduler", 10},
		"reproducible":                 {Query{UseCase: "reproducible"}, "EulerDiscreteScheduler", 40},
		"photorealistic is stochastic": {Query{UseCase: "photorealistic"}, "EulerAncestralDiscreteScheduler", 20},
		"illustration by pictures":     {Query{UseCase: "illustration"}, "HeunDiscreteScheduler", 20},
		"steps are a limit":            {Query{UseCase: "quality", MaxSteps: 12}, "LMSDiscreteScheduler", 10},
		"fewer than were measured":     {Query{UseCase: "quality", MaxSteps: 3}, "LMSDiscreteScheduler", 3},
		"time is a limit": {Query{UseCase: "inpaint", Time: 19 * time.Second, Evaluation: time.Second},
			"HeunDiscreteScheduler", 10},
		"zero SNR needs the option":       {Query{UseCase: "img2img", ZeroSNR: true}, "EulerDiscreteScheduler", 20},
		"LCM":                             {Query{UseCase: "quality", Distilled: "lcm"}, "LCMScheduler", 4},
		"Turbo":                           {Query{Distilled: "turbo"}, "EulerAncestralDiscreteScheduler", 1},
		"Lightning within a budget":       {Query{Distilled: "lightning", MaxSteps: 2}, "EulerDiscreteScheduler", 2},
		"TCD":                             {Query{UseCase: "few-step", Distilled: "tcd"}, "TCDScheduler", 4},
		"photorealistic, beyond measured": {Query{UseCase: "photorealistic", MaxSteps: 4}, "EulerAncestralDiscreteScheduler", 4},
	} {
		r, err := recommend(c.query, testDatabase)
		require.NoError(t, err, name)
		assert.Equal(t, c.scheduler, r.Scheduler, name)
		assert.Equal(t, c.steps, r.Steps, name)
		assert.NotEmpty(t, r.Reasons, name)
		for _, reason := range r.Reasons {
			assert.True(
				t,
				slices.Contains([]string{sourceMeasured, sourceBudget, sourcePractice}, reason.Source) || strings.HasPrefix(reason.Source, "arXiv:"),
				"%s: %q has source %q",
				name,
				reason.Text,
				reason.Source,
			)
		}
	}
}

func TestRecommendTraits(t *testing.T) {
	r, err := recommend(Query{PredictionType: "v_prediction", ZeroSNR: true}, testDatabase)
	require.NoError(t, err)
	assert.Equal(t, "v_prediction", r.Options.PredictionType)
	assert.Equal(t, "trailing", r.Options.TimestepSpacing)
	assert.True(t, *r.Options.RescaleBetasZeroSNR)
	assert.Nil(t, r.Options.UseKarrasSigmas)
	assert.InDelta(t, 0.7, r.GuidanceRescale, 0)
	assert.Nil(t, testDatabase.Entries[0].Options.RescaleBetasZeroSNR, "the database is not changed")
}

func TestRecommendRefuses(t *testing.T) {
	for option, q := range map[string]Query{
		"use_case":        {UseCase: "best"},
		"distilled":       {Distilled: "magic"},
		"prediction_type": {PredictionType: "flow"},
		"max_steps":       {MaxSteps: -1},
		"time":            {Time: time.Second},
	} {
		_, err := Recommend(q)
		var bad *OptionError
		require.True(t, errors.As(err, &bad), option)
		assert.Equal(t, option, bad.Option)
	}
	_, err := Recommend(Query{ZeroSNR: true, PredictionType: "epsilon"})
	assert.ErrorContains(t, err, "arXiv:2305.08891")
	_, err = Recommend(Query{Time: time.Second, Evaluation: 2 * time.Second})
	assert.ErrorContains(t, err, "one evaluation alone takes 2s")
}

// Every use case, every distillation and every trait has an answer in the real database that the schedulers accept.
func TestRecommendAlwaysAnswers(t *testing.T) {
	for _, use := range UseCases {
		for _, distilled := range append([]Distillation{""}, Distillations...) {
			for _, zero := range []bool{false, true} {
				for _, steps := range []int{0, 1, 4, 15} {
					q := Query{UseCase: use, Distilled: distilled, ZeroSNR: zero, MaxSteps: steps}
					r, err := Recommend(q)
					require.NoError(t, err, "%+v", q)
					assert.True(t, steps == 0 || r.Steps <= steps, "%+v: %d steps", q, r.Steps)
					assert.GreaterOrEqual(t, r.Guidance[1], r.Guidance[0])
					_, err = New(r.Scheduler, SDXLDefaults().With(r.Options))
					assert.NoError(t, err, "%+v", q)
				}
			}
		}
	}
}

// TestRecommendTellsOfFewerEvaluations: where there are many steps, and they are the user's to choose.
func TestRecommendTellsOfFewerEvaluations(t *testing.T) {
	for query, told := range map[Query]bool{{UseCase: "quality"}: true, {UseCase: "fast"}: false,
		{UseCase: "quality", Distilled: "lcm"}: false} {
		r, err := Recommend(query)
		require.NoError(t, err)
		has := slices.ContainsFunc(r.Reasons, func(reason Reason) bool { return strings.Contains(reason.Text, "deepcache = 3") })
		assert.Equal(t, told, has, "%v", query)
	}
}
