package e2e

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestOutOfMemory: an allocation that fails, of weights or of a compute buffer, is said in words and has its exit code. demo tries again
// with less in memory, and loads weights for that; what it says at the end is what failed last.
func TestOutOfMemory(t *testing.T) {
	for _, c := range []struct {
		after, what string
		args        []string
	}{
		{"2", "weights of the unet: ", []string{"demo", "-o"}},
		{"6", "weights of the text_encoder_2: ", []string{"demo", "-o"}},
		{"2", "compute buffer of vae_encode ", []string{"vae", "check", "nano"}},
		{"3", "compute buffer of vae_decode ", []string{"vae", "check", "nano"}},
	} {
		dir := t.TempDir()
		args := c.args
		if args[0] == "demo" {
			args = append(args, filepath.Join(dir, "x.png"))
		}
		cmd := prepare(t, args...)
		cmd.Env = append(cmd.Env, "DAGUERRE_FAIL_ALLOCATIONS=1,1,"+c.after)
		r := finish(t, cmd)
		assert.Equal(t, 4, r.code, r.stderr)
		assert.Contains(t, r.stderr, c.what)
		assert.Contains(t, r.stderr, " MiB could not be allocated on cpu")
		assert.Empty(t, list(t, dir))
	}
}
