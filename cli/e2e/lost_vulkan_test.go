//go:build vulkan && linux

package e2e

import (
	"cmp"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/vulkanlayer"
)

// TestLostVulkanDevice: Vulkan itself says VK_ERROR_DEVICE_LOST in the middle of the second request. The process that computes ends, and
// the next one goes on.
func TestLostVulkanDevice(t *testing.T) {
	device := cmp.Or(os.Getenv("DAGUERRE_TEST_DEVICE"), "vulkan:0")
	ask := func(c *conversation, id string) map[string]any {
		c.write(`{"id":%q,"type":"generate","request":{"model":{"model":"nano","device":%q,"threads":1},"prompt":"x %s","steps":1,`+
			`"guidance_scale":1,"width":64,"height":64}}`, id, device, id)
		return c.end(id)
	}
	end := func(c *conversation) {
		require.NoError(t, c.in.Close())
		exit(t, c.cmd, time.Minute)
	}
	dir := t.TempDir()
	layer, err := vulkanlayer.Build(t.Context(), dir)
	require.NoError(t, err)
	counts := filepath.Join(dir, "counts")
	env, err := layer.Env(vulkanlayer.Options{Counts: counts})
	require.NoError(t, err)
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
	c := converse(t)
	require.Equal(t, "done", ask(c, "a")["event"])
	end(c)
	one, err := vulkanlayer.ReadCounts(counts)
	require.NoError(t, err)
	require.Greater(t, one.Submits, uint64(100))

	t.Setenv("DAGUERRE_LAYER_COUNTS", "")
	t.Setenv("DAGUERRE_LAYER_LOSE_AFTER", strconv.FormatUint(one.Submits*5/4, 10))
	c = converse(t, "--supervise")
	assert.Equal(t, "done", ask(c, "a")["event"])
	failed := ask(c, "b")
	assert.Equal(t, []any{"error", "native"}, []any{failed["event"], failed["code"]})
	assert.Contains(t, failed["message"], "was lost: vk::")
	c.event("", "restarted")
	assert.Equal(t, "done", ask(c, "c")["event"], "the supervised worker goes on")
	end(c)
}
