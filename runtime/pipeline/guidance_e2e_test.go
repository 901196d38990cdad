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
		for _, halves := range []string{request.GuidanceJoint, request.GuidanceSeparate} {
			r := readGuidedRun(t, name)
			r.GuidanceBatch = halves
			out := generate(t, p, r)
			l2 := relativeL2(t, out.Images[0].Latents.Data, golden(t, "run_"+name+"_latents").Data)
			t.Logf("%-14s %-8s latents %.2g relative L2", name, halves, l2)
			assert.Less(t, l2, 1e-3, name)
		}
	}
}
