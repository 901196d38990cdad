package command

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

func TestSchedulersShowMeasuresAndPlots(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run("schedulers", "show", "euler"))
	assert.Contains(t, b.stdout, "Measured on the nano model: EulerDiscrete\n")
	assert.NotContains(t, b.stdout, "Noise levels")
	require.Equal(t, ExitOK, b.run("schedulers", "show", "LCM"))
	assert.Contains(t, b.stdout, "arXiv:2310.04378")
	require.Equal(t, ExitOK, b.run("schedulers", "show", "DPM++ 2M Karras", "--plot", "--steps", "7"))
	assert.Contains(t, b.stdout, "Noise levels (sigma), 7 steps:")
	require.Equal(t, ExitOK, b.run("schedulers", "show", "euler", "--json", "--plot", "--steps", "3"))
	var one struct {
		Measured []scheduler.Characteristics `json:"measured"`
		Levels   []float64                   `json:"noise_levels"`
	}
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &one))
	assert.NotEmpty(t, one.Measured)
	assert.Len(t, one.Levels, 4)
	assert.Equal(t, ExitUsage, b.run("schedulers", "show", "euler", "--plot", "--steps", "0"))
	assert.Equal(t, ExitUsage, b.run("schedulers", "show", "euler", "--steps", "5"))
}

func TestPlotSigmas(t *testing.T) {
	for name, sigmas := range map[string][]float64{
		"a run": {14.6, 5, 2, 1, 0.3, 0}, "one level": {3}, "no noise": {0, 0}, "infinite": {math.Inf(1), 7, 0}, "many": make([]float64, 1001),
	} {
		plot := plotSigmas(sigmas)
		lines := strings.Split(strings.TrimSuffix(plot, "\n"), "\n")
		require.Len(t, lines, plotRows+2, name)
		assert.Equal(t, min(len(sigmas), plotWidth), strings.Count(plot, "*"), name)
		assert.NotContains(t, plot, "NaN", name)
	}
}

// What is recommended is a valid run file.
func TestSchedulersRecommend(t *testing.T) {
	b := newBench(t)
	for _, use := range scheduler.UseCases {
		require.Equal(t, ExitOK, b.run("schedulers", "recommend", string(use)), use)
		run, err := request.DecodeTOML([]byte("prompt = \"x\"\n" + b.stdout + "\n[model]\nmodel = \"nano\"\n"))
		require.NoError(t, err, b.stdout)
		require.NoError(t, run.Validate())
		assert.Positive(t, run.Jobs[0].NumInferenceSteps)
		assert.Contains(t, b.stdout, "all figures are of the small nano-base model at 128 x 128 pixels")
		assert.Contains(t, b.stdout, "is what people use with SDXL (common practice)")
		assert.NotRegexp(t, "(?i)practice.*measured", b.stdout)
	}
	require.Equal(t, ExitOK, b.run("schedulers", "recommend", "--zero-snr", "--prediction-type", "v_prediction"))
	assert.Contains(t, b.stdout, "rescale_betas_zero_snr = true")
	assert.Contains(t, b.stdout, `prediction_type = "v_prediction"`)
	require.Equal(t, ExitOK, b.run("schedulers", "recommend", "quality", "--max-steps", "9", "--json"))
	var r scheduler.Recommendation
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &r))
	assert.LessOrEqual(t, r.Steps, 9)
	assert.NotEmpty(t, r.Reasons)
	require.Equal(t, ExitOK, b.run("schedulers", "recommend", "--distilled", "lcm"))
	assert.Contains(t, b.stdout, `scheduler = "LCM"`)
	for _, bad := range [][]string{{"best"}, {"fast", "slow"}, {"--max-steps", "0"}, {"--max-steps", "-3"}, {"--time", "3s"}, {"--distilled",
		"x"}, {"--prediction-type", "y"}} {
		assert.Equal(t, ExitUsage, b.run(append([]string{"schedulers", "recommend"}, bad...)...), "%v", bad)
	}
}

// With --measure the figures are of the model that is named.
func TestRecommendMeasures(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run("schedulers", "recommend", "fast", "--measure", "--model", "nano", "--size", "64", "--reference-steps",
		"12"))
	flat := strings.Join(strings.Fields(strings.ReplaceAll(b.stdout, "#", " ")), " ") // comments may go over several lines
	assert.Contains(t, flat, "(measured on nano)")
	assert.Contains(t, flat, "one picture each: 64 x 64 pixels, seed 42")
	assert.Contains(t, flat, "HeunDiscrete with 12 steps")
	assert.NotContains(t, flat, "of the small nano-base model", "those figures are not of this measurement")
	_, err := request.DecodeTOML([]byte("prompt = \"x\"\n" + b.stdout))
	require.NoError(t, err, b.stdout)

	require.Equal(t, ExitOK, b.run("schedulers", "recommend", "quality", "--max-steps", "7", "--measure", "--model", "nano", "--size", "64",
		"--reference-steps", "20", "--json"))
	var r struct {
		scheduler.Recommendation
		Own ownReport `json:"own_measurement"`
	}
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &r))
	require.Len(t, r.Own.Candidates, 3)
	least := math.Inf(1)
	for _, c := range r.Own.Candidates {
		assert.LessOrEqual(t, c.Steps, 7, "the budget holds for all candidates")
		require.NotNil(t, c.Error, c.Label)
		least = min(least, *c.Error)
	}
	assert.Equal(t, least, *r.Own.Candidates[indexOf(r.Own.Candidates, r.Recommendation)].Error, "the nearest is recommended")

	require.Equal(t, ExitOK, b.run("schedulers", "recommend", "photorealistic", "--measure", "--model", "nano", "--size", "64",
		"--reference-steps", "2"))
	assert.Contains(t, b.stdout, "draws noise, so there is no error")
	for _, bad := range [][]string{{"--measure"}, {"--model", "nano"}, {"--size", "64"}, {"--measure", "--model", "nano", "--size", "7"},
		{"--measure",
			"--model", "nano", "--distilled", "lcm"}, {"--measure", "--model", "nano", "--reference-steps", "0"}} {
		assert.Equal(t, ExitUsage, b.run(append([]string{"schedulers", "recommend"}, bad...)...), "%v", bad)
	}
}

func indexOf(list []ownMeasurement, r scheduler.Recommendation) int {
	return slices.IndexFunc(list, func(m ownMeasurement) bool {
		name, _, err := scheduler.Resolve(m.Label)
		return err == nil && name == r.Scheduler && m.Steps == r.Steps
	})
}
