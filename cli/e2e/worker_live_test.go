package e2e

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// conversation is a running worker whose events are read as they are needed.
type conversation struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Reader
	seen  map[string][]map[string]any // by id
}

func converse(t *testing.T, flags ...string) *conversation {
	t.Helper()
	c := &conversation{t: t, cmd: prepare(t, append([]string{"worker"}, flags...)...), seen: map[string][]map[string]any{}}
	c.cmd.Stderr = os.Stderr
	var err error
	c.in, err = c.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	c.lines = bufio.NewReader(out)
	require.NoError(t, c.cmd.Start())
	return c
}

// send asks for something.
func (c *conversation) send(id, kind string, request map[string]any) {
	c.t.Helper()
	line, err := json.Marshal(map[string]any{"id": id, "type": kind, "request": request})
	require.NoError(c.t, err)
	_, err = c.in.Write(append(line, '\n'))
	require.NoError(c.t, err)
}

// event reads events up to one of a request with one of the names, which it may have read already.
func (c *conversation) event(id string, names ...string) map[string]any {
	c.t.Helper()
	for k := 0; ; {
		for ; k < len(c.seen[id]); k++ {
			for _, name := range names {
				if c.seen[id][k]["event"] == name {
					return c.seen[id][k]
				}
			}
		}
		line, err := c.lines.ReadBytes('\n')
		require.NoError(c.t, err, "no %v of %s", names, id)
		var e map[string]any
		require.NoError(c.t, json.Unmarshal(line, &e), string(line))
		of, _ := e["id"].(string)
		c.seen[of] = append(c.seen[of], e)
	}
}

// done waits for the end of a request, which must be good, and returns its result and its pictures.
func (c *conversation) done(id string) (result map[string]any, pictures []any) {
	c.t.Helper()
	last := c.event(id, "done", "error")
	require.Equal(c.t, "done", last["event"], last)
	for _, e := range c.seen[id] {
		if e["event"] == "image" {
			pictures = append(pictures, e["data"])
		}
	}
	result, _ = last["result"].(map[string]any)
	return result, pictures
}

// TestWorkerLiveAdapters changes the adapter of a request that waits, and of one that is half done, and compares pictures with those of
// requests with that weight. Requests beside it, accepted before and after, have theirs. The library's counters tell of the adapter.
func TestWorkerLiveAdapters(t *testing.T) {
	adapter, err := filepath.Abs("../../models/nano/nano-lora-outline.safetensors")
	require.NoError(t, err)
	c := converse(t)
	c.send("load", "load", map[string]any{"model": map[string]any{"model": "nano", "threads": 1}})
	c.done("load")
	ask := func(id string, seed int, weight any, extra ...any) {
		r := map[string]any{"prompt": "an outlined red circle on a blue background", "num_inference_steps": 6, "seed": seed, "metadata": false}
		if weight != nil {
			r["lora"] = []any{map[string]any{"path": adapter, "name": "outline", "weight": weight}}
		}
		for i := 0; i < len(extra); i += 2 {
			r[extra[i].(string)] = extra[i+1]
		}
		c.send(id, "generate", r)
	}
	change := func(id, target string, weight float64) {
		c.send(id, "lora", map[string]any{"target": target, "name": "outline", "weight": weight})
	}
	want := map[string]any{}
	for _, r := range []struct {
		id     string
		seed   int
		weight any
	}{{"plain", 3, nil}, {"half", 3, 0.5}, {"full", 3, 1}, {"full last", 27, 1}} {
		ask(r.id, r.seed, r.weight)
		_, pictures := c.done(r.id)
		want[r.id] = pictures[0]
	}
	require.NotEqual(t, want["plain"], want["half"])
	require.NotEqual(t, want["half"], want["full"])

	ask("long", 0, nil, "num_inference_steps", 1000)
	c.event("long", "started")
	ask("before", 3, 0.5)
	ask("changed", 3, 0.5)
	ask("without", 3, nil)
	change("x1", "changed", 0.25)
	change("x2", "changed", 1)
	c.done("x2")
	ask("after", 3, 0.5)
	c.send("enough", "cancel", map[string]any{"target": "long"})
	c.done("enough")
	for id, as := range map[string]string{"before": "half", "changed": "full", "without": "plain", "after": "half"} {
		_, pictures := c.done(id)
		assert.Equal(t, []any{want[as]}, pictures, "%s is as %s", id, as)
	}
	// One picture a batch: when the first is there some may have begun, and the last has not.
	ask("running", 4, 0.5, "num_images", 24, "max_batch", 1)
	c.event("running", "image")
	change("y", "running", 1)
	_, pictures := c.done("running")
	c.done("y")
	require.Len(t, pictures, 24)
	assert.Equal(t, want["full last"], pictures[23], "seed 27")

	c.send("memory", "memory", nil)
	result, _ := c.done("memory")
	held := result["models"].([]any)[0].(map[string]any)["memory"].([]any)[0].(map[string]any)
	sum := held["compute"].(float64) + held["adapters"].(float64)
	for _, e := range held["components"].([]any) {
		part := e.(map[string]any)
		sum += part["weights"].(float64) + part["host"].(float64)
		assert.GreaterOrEqual(t, part["weights_peak"], part["weights"])
		if part["name"] == "unet" {
			assert.Equal(t, true, part["loaded"])
			assert.Greater(t, part["weights"], 1e6)
		}
	}
	assert.Equal(t, sum, held["total"], "the counters add up")
	assert.GreaterOrEqual(t, held["total_peak"], held["total"])
	assert.Positive(t, held["compute_peak"])
	assert.Positive(t, held["adapters_peak"])
	require.NoError(t, c.in.Close())
	_, _ = io.Copy(io.Discard, c.lines)
	require.NoError(t, c.cmd.Wait())
}
