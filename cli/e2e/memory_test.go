package e2e

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestOutOfMemory: an allocation that fails, of weights or of a compute buffer, is said in words and has its exit code.
func TestOutOfMemory(t *testing.T) {
	for after, what := range map[string]string{"2": "weights of the unet: ", "6": "compute buffer of "} {
		dir := t.TempDir()
		cmd := prepare(t, "demo", "-o", filepath.Join(dir, "x.png"))
		cmd.Env = append(cmd.Env, "DAGUERRE_FAIL_ALLOCATIONS=1,1,"+after)
		r := finish(t, cmd)
		assert.Equal(t, 4, r.code, r.stderr)
		assert.Contains(t, r.stderr, what)
		assert.Contains(t, r.stderr, " MiB could not be allocated on cpu")
		assert.Empty(t, list(t, dir))
	}
}
