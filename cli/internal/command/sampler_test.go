package command

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// inWords is what a PNG's text says of a scheduler.
func inWords(t *testing.T, s scheduler.Scheduler, sigmas string) (sampler, schedule string) {
	t.Helper()
	data, err := json.Marshal(s.Config())
	require.NoError(t, err)
	info := pipeline.SchedulerInfo{Name: s.Name()}
	require.NoError(t, json.Unmarshal(data, &info.Options))
	return a1111Sampler(info, sigmas)
}

// schedulerOf is what a request with a sampler's and a schedule's name computes with, on SDXL.
func schedulerOf(t *testing.T, sampler, schedule string) scheduler.Scheduler {
	t.Helper()
	spacing, err := scheduler.ResolveSpacing(schedule)
	require.NoError(t, err, schedule)
	s, err := scheduler.New(sampler, scheduler.SDXLDefaults().With(spacing.Options))
	require.NoError(t, err, sampler)
	return s
}

func TestSamplersByA1111Names(t *testing.T) {
	for _, c := range []struct{ asked, sigmas, sampler, schedule string }{
		{"EulerDiscrete", "", "Euler", ""},
		{"Euler a", "karras", "Euler a", ""}, // which has no such levels
		{"DPM++ 2M", "", "DPM++ 2M", ""},
		{"DPM++ 2M Karras", "", "DPM++ 2M", "Karras"},
		{"DPM++ 2M SDE", "karras", "DPM++ 2M SDE", "Karras"},
		{"DPM++ 2M SDE Heun", "exponential", "DPM++ 2M SDE Heun", "Exponential"},
		{"DPM++ 3M SDE", "sgm_uniform", "DPM++ 3M SDE", "SGM Uniform"},
		{"dpmpp_3m_sde_gpu", "beta", "DPM++ 3M SDE", "Beta"},
		{"dpmpp_2s", "", "DPM++ 2S", ""},
		{"DPM++ SDE", "karras", "DPM++ SDE", "Karras"},
		{"PNDM", "", "PLMS", ""}, // SDXL skips the beginning that PLMS has not
		{"uni_pc_bh2", "simple", "UniPC", "SGM Uniform"},
		{"ddim_trailing", "", "DDIM", "SGM Uniform"},
		{"Heun", "ays", "Heun", "Align Your Steps"},
		{"DPM++ 2M Lu", "", "DPM++ 2M", "lu"},
	} {
		s := schedulerOf(t, c.asked, c.sigmas)
		sampler, schedule := inWords(t, s, c.sigmas)
		assert.Equal(t, []string{c.sampler, c.schedule}, []string{sampler, schedule}, c.asked)
	}
}

// TestSamplersReadBack: what a PNG's text says of a scheduler asks for the same scheduler, for every name and spacing.
func TestSamplersReadBack(t *testing.T) {
	var names []string
	for _, class := range scheduler.Names() {
		info, err := scheduler.Describe(class)
		require.NoError(t, err)
		names = append(append(append(names, class), info.Aliases...), info.Presets...)
	}
	require.Greater(t, len(names), 50)
	for _, name := range names {
		for _, sigmas := range slices.Concat([]string{""}, scheduler.SpacingNames()) {
			s := schedulerOf(t, name, sigmas)
			sampler, schedule := inWords(t, s, sigmas)
			back := schedulerOf(t, sampler, schedule)
			assert.Equal(t, s.Name(), back.Name(), "%s %s", name, sigmas)
			want := s.Config()
			if spacing, err := scheduler.ResolveSpacing(sigmas); err == nil && spacing.Schedule != "" {
				want.TimestepSpacing = back.Config().TimestepSpacing // which is not used
			}
			assert.Equal(t, want, back.Config(), "%s %s is written as %s, %s", name, sigmas, sampler, schedule)
			assert.False(t, strings.Contains(sampler, "_"), sampler)
		}
	}
}
