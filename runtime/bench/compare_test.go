package bench

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func verdicts(c *Comparison) map[string]verdict {
	out := map[string]verdict{}
	for _, x := range c.Changes {
		out[x.Metric] = x.Verdict
	}
	return out
}

func TestCompareSame(t *testing.T) {
	r := testReport(threeResults()...)
	c, err := Compare(r, r, DefaultThresholds)
	require.NoError(t, err)
	assert.Zero(t, c.Regressions())
	assert.Empty(t, c.Notes)
	assert.Len(t, c.Changes, (5+3+1)+2*(5+3+1), "times, sizes, and PSNR or what was right")
	for _, x := range c.Changes {
		assert.Equal(t, Same, x.Verdict, x)
	}
}

// Each figure in turn becomes worse, and better.
func TestCompareChanges(t *testing.T) {
	scale := func(v []float64, k float64) []float64 {
		out := make([]float64, len(v))
		for i := range v {
			out[i] = v[i] * k
		}
		return out
	}
	base := threeResults()[1:2]
	base[0].Checked = &checked{Pictures: 100, Right: 50}
	for metric, change := range map[string]func(r *Result, k float64){
		"load":          func(r *Result, k float64) { r.Samples.Load = scale(r.Samples.Load, k) },
		"text":          func(r *Result, k float64) { r.Samples.Text = scale(r.Samples.Text, k) },
		"step":          func(r *Result, k float64) { r.Samples.Step = scale(r.Samples.Step, k) },
		"decode":        func(r *Result, k float64) { r.Samples.Decode = scale(r.Samples.Decode, k) },
		"image":         func(r *Result, k float64) { r.Samples.Image = scale(r.Samples.Image, k) },
		"peak rss":      func(r *Result, k float64) { r.PeakRSS = int64(float64(r.PeakRSS) * k) },
		"native memory": func(r *Result, k float64) { r.NativeBytes = int64(float64(r.NativeBytes) * k) },
		"file":          func(r *Result, k float64) { r.FileBytes = int64(float64(r.FileBytes) * k) },
		"worst PSNR":    func(r *Result, k float64) { q := *r.Quality; q.PSNRWorst /= k; r.Quality = &q },
		"right":         func(r *Result, k float64) { r.Checked = &checked{Pictures: 100, Right: int(50 / k)} },
	} {
		for k, want := range map[float64]verdict{1.3: worse, 1 / 1.3: better} {
			changed := base[0]
			change(&changed, k)
			c, err := Compare(testReport(base...), testReport(changed), DefaultThresholds)
			require.NoError(t, err)
			for m, v := range verdicts(c) {
				if m == metric {
					assert.Equal(t, want, v, "%s by %g", m, k)
				} else {
					assert.Equal(t, Same, v, "%s, where %s changed", m, metric)
				}
			}
			assert.Equal(t, want == worse, c.Regressions() == 1, metric)
		}
	}
}

// A change of times needs both: size and significance.
func TestCompareTimes(t *testing.T) {
	th := DefaultThresholds
	slow := []float64{1.3, 1.31, 1.32, 1.33}
	assert.Equal(t, worse, compareTimes("k", "step", []float64{1, 1.01, 1.02, 1.03}, slow, th).Verdict)
	x := compareTimes("k", "step", []float64{1, 1.01, 1.02}, slow[:3], th)
	assert.Equal(t, Unknown, x.Verdict, "three of each say nothing")
	assert.InDelta(t, 0.1, *x.P, 1e-9)
	assert.Equal(t, Same, compareTimes("k", "step", []float64{1, 1.01, 1.02, 2}, []float64{1, 1.5, 1.6, 1.7}, th).Verdict, "they overlap")
	assert.Equal(
		t,
		Same,
		compareTimes("k", "step", []float64{1, 1.01, 1.02, 1.03}, []float64{1.05, 1.06, 1.07, 1.08}, th).Verdict,
		"significant but small",
	)
	th.Time = 0.02
	assert.Equal(t, worse, compareTimes("k", "step", []float64{1, 1.01, 1.02, 1.03}, []float64{1.05, 1.06, 1.07, 1.08}, th).Verdict)
}

func TestCompareReports(t *testing.T) {
	old, now := testReport(threeResults()...), testReport(threeResults()[:2]...)
	now.Machine.Cores, now.Build.Modified, now.Settings.Processes = 64, true, false
	c, err := Compare(old, now, DefaultThresholds)
	require.NoError(t, err)
	assert.Len(t, c.Notes, 4)
	assert.Contains(t, c.Notes[0], "machines differ")
	assert.Contains(t, c.Notes[3], "q4_k")

	failed := testReport(threeResults()...)
	failed.Results[1].Error = "broken"
	c, err = Compare(old, failed, DefaultThresholds)
	require.NoError(t, err)
	assert.Equal(t, 1, c.Regressions(), "what cannot be measured any more is worse")
	c, err = Compare(failed, old, DefaultThresholds)
	require.NoError(t, err)
	assert.Zero(t, c.Regressions())

	for name, change := range map[string]func(r *Report){
		"steps":     func(r *Report) { r.Settings.Steps = 9 },
		"guidance":  func(r *Report) { r.Settings.Guidance = 9 },
		"prompts":   func(r *Report) { r.Settings.Prompts = []Prompt{{Prompt: "q", Seed: 1}} },
		"no common": func(r *Report) { r.Results = []Result{result("q3_k", 1, 1, 0)} },
	} {
		other := testReport(threeResults()...)
		change(other)
		_, err := Compare(old, other, DefaultThresholds)
		assert.ErrorIs(t, err, ErrIncomparable, name)
	}
}
