//go:build linux

package e2e

import (
	"cmp"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLostDevice: a device that fails while it computes ends the process that computes, and another one goes on. Without a
// supervisor the error says that the program must start again. `make test-vulkan` runs it on a Vulkan device.
func TestLostDevice(t *testing.T) {
	device := cmp.Or(os.Getenv("DAGUERRE_TEST_DEVICE"), "cpu")
	t.Setenv("DAGUERRE_LOSE_DEVICE", device+",5") // a request runs four graphs: two text encoders, one step, the VAE
	ask := func(c *conversation, id string) map[string]any {
		c.write(`{"id":%q,"type":"generate","request":{"model":{"model":"nano","device":%q,"threads":1},"prompt":"x %s","steps":1,`+
			`"guidance_scale":1,"width":64,"height":64}}`, id, device, id)
		return c.end(id)
	}
	for _, flags := range [][]string{{"--supervise"}, {}} {
		c := converse(t, flags...)
		assert.Equal(t, "done", ask(c, "a")["event"])
		failed := ask(c, "b")
		assert.Equal(t, []any{"error", "native"}, []any{failed["event"], failed["code"]})
		assert.Contains(t, failed["message"], "was lost")
		assert.Contains(t, failed["message"], "start again")
		if len(flags) > 0 {
			c.event("", "restarted")
			assert.Equal(t, "done", ask(c, "c")["event"], "the supervised worker goes on")
		} else {
			assert.Contains(t, ask(c, "c")["message"], "was lost")
		}
		require.NoError(t, c.in.Close())
		exit(t, c.cmd, time.Minute)
	}
	r := run(t, "generate", "--model", "nano", "--device", device, "--threads", "1", "--steps", "4", "--prompt", "x",
		"-o", t.TempDir()+"/a.png")
	assert.Equal(t, 5, r.code)
	assert.Contains(t, r.stderr, "was lost")
}
