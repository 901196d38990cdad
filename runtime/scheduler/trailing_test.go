package scheduler

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTrailingCountsAsArange: every scheduler with trailing spacing has numpy's timesteps, for 1 to 150 of 1000; written by
// tools/schedgoldens/trailing.py.
func TestTrailingCountsAsArange(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "trailing.json"))
	require.NoError(t, err)
	var want [][]float64
	require.NoError(t, json.Unmarshal(data, &want))
	require.Len(t, want, 150)
	tried := 0
	for _, a := range algorithms {
		if !a.has("timestep_spacing") || a.Needs == NeedsDistilled { // whose timesteps are those of the distillation
			continue
		}
		tried++
		cfg := Config{TimestepSpacing: "trailing"}
		if a.has("skip_prk_steps") {
			cfg.SkipPRKSteps = new(true)
		}
		s, err := NewStrict(a.Name, cfg)
		require.NoError(t, err)
		for i, list := range want {
			run, err := s.NewRun(RunOptions{NumInferenceSteps: i + 1})
			require.NoError(t, err)
			var got []float64
			for k, ts := range run.Timesteps() {
				if k == 0 || run.StepOf(k) != run.StepOf(k-1) {
					got = append(got, ts)
				}
			}
			assert.Equal(t, list, slices.Compact(got), "%s, %d steps", a.Name, i+1)
		}
	}
	assert.Greater(t, tried, 10)
}
