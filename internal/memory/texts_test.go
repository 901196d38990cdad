package memory

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTextsOfABatch(t *testing.T) {
	for _, c := range []struct {
		name     string
		job      Job
		pictures int
		rows     int
		texts    int
	}{
		{"one prompt, guided", Job{Guidance: true, Prompts: 1}, 4, 8, 2},
		{"one prompt, not guided", Job{Prompts: 1}, 4, 4, 1},
		{"one prompt, one pass after the other", Job{Guidance: true, Prompts: 1, GuidanceBatch: GuidanceSeparate}, 4, 4, 1},
		{"all may differ", Job{Guidance: true}, 4, 8, 8},
		{"more prompts than pictures", Job{Guidance: true, Prompts: 9}, 2, 4, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			assert.Equal(t, c.rows, c.job.rows(c.pictures, Strategy{}))
			assert.Equal(t, c.texts, c.job.texts(c.pictures, Strategy{}))
		})
	}
}
