package scheduler

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// notOffered are options of diffusers that this package leaves out, by scheduler; "" is any. See the package's comment.
var notOffered = map[string][]string{
	"":                  {"use_dynamic_shifting", "time_shift_type"},
	"SASolverScheduler": {"tau_func"},
}

// ours are options that diffusers takes as arguments of step() (or, for tau, as a function).
var ours = []string{"s_churn", "s_tmin", "s_tmax", "s_noise", "eta", "use_clipped_model_output", "lms_order", "tau", "tau_start", "tau_end"}

// Every option of every scheduler in diffusers is here with the same default, and no other is.
func TestOptionsAreDiffusers(t *testing.T) {
	data, err := os.ReadFile("testdata/defaults.json")
	require.NoError(t, err)
	var f struct {
		Schedulers map[string]map[string]any `json:"schedulers"`
	}
	require.NoError(t, json.Unmarshal(data, &f))
	require.Len(t, f.Schedulers, len(algorithms))
	for _, a := range algorithms {
		theirs := f.Schedulers[a.Name]
		for name, def := range theirs {
			if slices.Contains(notOffered[""], name) || slices.Contains(notOffered[a.Name], name) {
				continue
			}
			if !assert.True(t, a.has(name), "%s lacks %s", a.Name, name) {
				continue
			}
			mine := a.Defaults.Map()[name]
			if n, ok := mine.(int); ok {
				mine = float64(n)
			}
			if list, ok := def.([]any); ok && len(list) == 0 {
				def = nil
			}
			assert.Equal(t, def, mine, "%s %s", a.Name, name)
		}
		for _, name := range a.options() {
			_, known := theirs[name]
			assert.True(t, known || slices.Contains(ours, name), "%s has %s, diffusers does not", a.Name, name)
		}
	}
	for _, name := range OptionNames() {
		assert.True(t, slices.ContainsFunc(algorithms, func(a *algorithm) bool { return a.has(name) }), "no scheduler has %s", name)
	}
}
