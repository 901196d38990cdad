package scheduler

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every registered scheduler is measured, and what the entries say agrees with the schedulers of this package.
func TestEverySchedulerIsMeasured(t *testing.T) {
	d := Measured()
	assert.Len(t, d.ModelSHA256, 64)
	assert.Contains(t, d.Command, "tools/schedbench")
	assert.Less(t, d.ReferenceError, 0.05, "the reference has converged")
	for _, name := range Names() {
		entries, err := CharacteristicsOf(name)
		require.NoError(t, err)
		require.NotEmpty(t, entries, "%s is not measured: run tools/schedbench", name)
		assert.Empty(t, entries[0].Options.set(), "the first entry of %s is without options", name)
		for _, c := range entries {
			s, err := New(name, SDXLDefaults().With(c.Options))
			require.NoError(t, err)
			for _, m := range append(c.Steps, c.Recommended) {
				run, err := s.NewRun(RunOptions{NumInferenceSteps: m.Steps})
				require.NoError(t, err)
				assert.Equal(t, run.NumEvaluations(), m.Evaluations, "%s, %d steps", c.Label, m.Steps)
				assert.Equal(t, run.Stochastic(), c.Stochastic, c.Label)
			}
			for _, m := range c.Steps {
				assert.Equal(t, c.Stochastic, m.Error == nil, c.Label)
			}
		}
	}
}

// On an ordinary model every scheduler that is made for one paints what the prompt says: at least 90 % of 40 prompts.
func TestRecommendedStepsMakeRightPictures(t *testing.T) {
	for _, c := range Measured().Entries {
		r := c.Recommended
		t.Logf(
			"%-34s %2d steps: colour %d, background %d, both %d, all %d of %d %s",
			c.Label,
			r.Steps,
			r.Colour,
			r.Background,
			r.Right,
			r.All,
			r.Pictures,
			c.Needs,
		)
		assert.GreaterOrEqual(t, r.Pictures, 40, c.Label)
		if c.Needs == "" {
			assert.GreaterOrEqual(t, 10*r.Right, 9*r.Pictures, c.Label)
		}
	}
}

func TestCharacteristicsOfAnUnknownName(t *testing.T) {
	_, err := CharacteristicsOf("Eulr")
	assert.ErrorContains(t, err, "Euler")
}

// The table in the documentation is the database's.
func TestDocumentationShowsTheDatabase(t *testing.T) {
	data, err := os.ReadFile("../../docs/schedulers.md")
	require.NoError(t, err)
	assert.True(
		t,
		strings.Contains(string(data), Measured().Markdown()),
		"docs/schedulers.md is out of date; run go run ./tools/schedbench -docs",
	)
}
