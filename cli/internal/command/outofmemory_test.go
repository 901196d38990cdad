package command

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// TestTooLittleMemory: to a user too little memory is one thing. Only an allocation that failed is out of memory, for which less
// at once, or another try, may help.
func TestTooLittleMemory(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		less bool // less at once may help
	}{
		"a backend":   {backend.ErrOutOfMemory, true},
		"a plan":      {&memory.OverBudgetError{}, false},
		"ControlNets": {pipeline.ErrControlMemory, false},
	} {
		err := fmt.Errorf("job 3: %w", c.err)
		assert.Equal(t, ExitOutOfMemory, exitCode(err), name)
		assert.Equal(t, c.less, errors.Is(err, backend.ErrOutOfMemory), name)
	}
}
