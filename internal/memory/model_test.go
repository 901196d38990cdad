package memory

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestBatches(t *testing.T) {
	assert.Equal(t, []int{4}, Batches(4, 16))
	assert.Equal(t, []int{1, 1, 1}, Batches(3, 1))
	assert.Equal(t, []int{3, 2, 2}, Batches(7, 3))
	assert.Equal(t, []int{2, 2}, Batches(4, 3))
	for want, j := range map[int]Job{9: {Images: 17, Batch: 16}, 8: {Images: 8}, 4: {Images: 16, Batch: 5}, 1: {}} {
		assert.Equal(t, want, j.batch())
	}
}
