package machine

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSystemOfWindows(t *testing.T) {
	const gib = 1 << 30
	free := memoryStatus{total: 16 * gib, available: 8 * gib, availableCommit: 20 * gib}
	scarce := memoryStatus{total: 16 * gib, available: 8 * gib, availableCommit: 3 * gib}
	own := processMemory{workingSet: gib, private: 2 * gib}
	for name, c := range map[string]struct {
		m         memoryStatus
		job       jobLimits
		available int64
		limit     string
	}{
		"free":                 {free, jobLimits{-1, -1}, 8 * gib, limitOfMachine},
		"little to commit":     {scarce, jobLimits{-1, -1}, 3 * gib, "commit limit"},
		"a job's process":      {free, jobLimits{4 * gib, -1}, 2 * gib, "job object's limit"},
		"a job":                {free, jobLimits{-1, 5 * gib}, 3 * gib, "job object's limit"},
		"a job without effect": {free, jobLimits{100 * gib, -1}, 8 * gib, limitOfMachine},
		"a job that is full":   {free, jobLimits{gib, -1}, 0, "job object's limit"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := systemOf(c.m, own, c.job)
			require.NoError(t, err)
			assert.Equal(t, c.available, s.AvailableBytes)
			assert.Equal(t, c.limit, s.Limit)
			assert.LessOrEqual(t, s.AvailableBytes, s.TotalBytes)
		})
	}
	_, err := systemOf(memoryStatus{}, own, jobLimits{-1, -1})
	require.Error(t, err)
}

func TestSystemHere(t *testing.T) {
	s, err := SystemMemory()
	require.NoError(t, err)
	assert.Positive(t, s.ProcessBytes)
	assert.Greater(t, s.TotalBytes, s.AvailableBytes)
	d := Describe()
	assert.Positive(t, d.Cores)
	assert.NotEqual(t, "unknown CPU", d.CPU)
	assert.Contains(t, d.System, "windows/amd64, version ")
}
