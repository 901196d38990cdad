package bench

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestDescribeMachine(t *testing.T) {
	m := DescribeMachine()
	assert.Positive(t, m.Cores)
	assert.Contains(t, m.System, runtime.GOOS)
	if runtime.GOOS == "linux" {
		assert.Positive(t, m.MemoryBytes)
		assert.Contains(t, m.System, "kernel")
	}
}
