//go:build unix

package e2e

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWorkerWaitsForNoPipe: requests that name a pipe fail at once, others of the same model go on, and the worker ends when it is told to.
func TestWorkerWaitsForNoPipe(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	c := converse(t)
	small := func(more map[string]any) map[string]any {
		r := map[string]any{"model": "nano", "prompt": "x", "width": 64, "height": 64, "num_inference_steps": 4,
			"output": filepath.Join(dir, "x.png")}
		for key, value := range more {
			r[key] = value
		}
		return r
	}
	for _, key := range []string{"init_image", "noise", "latents"} {
		c.send(key, "generate", small(map[string]any{key: pipe}))
		e := c.event(key, "error", "done")
		assert.Contains(t, e["message"], "is a named pipe", key)
	}
	c.send("controlnet", "controlnet", map[string]any{"image": pipe, "preprocessor": "canny"})
	assert.Contains(t, c.event("controlnet", "error", "done")["message"], "is a named pipe")
	c.send("good", "generate", small(nil))
	assert.Equal(t, "done", c.event("good", "error", "done")["event"])
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
	ended := make(chan struct{})
	go func() {
		_ = c.cmd.Wait() // it ends with 130
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("SIGTERM does not end the worker")
	}
}
