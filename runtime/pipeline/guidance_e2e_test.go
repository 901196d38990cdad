//go:build !race

package pipeline

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// readGuidedRun is readRun for runs with a way to guide.
func readGuidedRun(t *testing.T, name string) request.Request {
	t.Helper()
	var g struct {
		Scheduler string `json:"scheduler"`
		request.Guidance
	}
	data, err := os.ReadFile(filepath.Join(goldens, "run_"+name+".json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &g))
	_, r := readRun(t, name)
	r.Guidance, r.Scheduler = g.Guidance, cmp.Or(g.Scheduler, r.Scheduler)
	return r
}

var guidedRuns = []string{"apg", "apg_cut", "zero_star", "zero_star_2", "plus_euler", "plus_ancestral", "plus_ddim"}

// TestGoldenGuidance compares the ways to guide with diffusers' guiders, and CFG++ with its arithmetic restated in
// tools/goldens/guidance.py: with the halves in one evaluation and one after the other.
func TestGoldenGuidance(t *testing.T) {
	p := openNano(t, backend.PrecisionExact)
	for _, name := range guidedRuns {
		bothHalves(t, p, name, readGuidedRun(t, name))
	}
}

// TestGuidancePrecisions: F16, BF16 and Q8_0 are within 40 dB of exact.
func TestGuidancePrecisions(t *testing.T) {
	t.Parallel()
	exact := openNano(t, backend.PrecisionExact)
	eachPrecision(t, func(precision string, p *Pipeline) {
		for _, name := range guidedRuns {
			r := readGuidedRun(t, name)
			r.NumInferenceSteps = 3
			db := psnr(t, generate(t, exact, r).Images[0].NRGBA, generate(t, p, r).Images[0].NRGBA)
			t.Logf("%-5s %-14s %.1f dB", precision, name, db)
			assert.Greater(t, db, 40.0, "%s, %s", precision, name)
		}
	})
}
