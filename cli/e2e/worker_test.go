//go:build unix

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWorker has the program serve a client, and looks at what it writes where.
func TestWorker(t *testing.T) {
	dir := t.TempDir()
	cmd := prepare(t, "worker", "--verbose")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(`{"id":"a","type":"load","request":{"model":{"model":"nano","threads":1}}}
this is no JSON
{"Id":"b","Type":"generate","Request":{"Prompt":"a red circle on a blue background","Steps":4,"Seed":42,"Output":%q},"Deliver":{"Previews":2}}
{"id":"c","type":"memory"}
`, filepath.Join(dir, "b.png")))
	r := finish(t, cmd)
	require.Equal(t, 0, r.code, r.stderr)
	assert.NotEmpty(t, r.stderr, "the library's log")
	last := map[string]map[string]any{}
	for _, e := range events(t, r.stdout) { // every line is JSON
		id, ok := e["id"].(string)
		if !ok {
			id, _ = e["Id"].(string)
		}
		last[id] = e
	}
	assert.Equal(t, "done", last["a"]["event"])
	assert.Equal(t, "done", last["b"]["Event"], last["b"])
	memory := last["c"]["result"].(map[string]any)
	assert.Greater(t, memory["rss"], 10e6)
	assert.Contains(t, last[""]["message"], "not a JSON object")
	_, texts := readPNG(t, filepath.Join(dir, "b.png"))
	assert.Contains(t, texts["parameters"], "Seed: 42")
}

// TestWorkerSurvivesKills kills the computing process of the real library while it computes.
func TestWorkerSurvivesKills(t *testing.T) {
	const kills = 3
	cmd := prepare(t, "worker", "--supervise")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	lines := bufio.NewReader(out)
	send := func(text string) {
		_, err := io.WriteString(in, text+"\n")
		require.NoError(t, err)
	}
	ends, seeds, begun := map[any]any{}, map[any]any{}, map[any]bool{}
	note := func(e map[string]any) {
		switch e["event"] {
		case "started":
			begun[e["id"]] = true
		case "done", "error":
			ends[e["id"]] = e["event"]
		case "image":
			seeds[e["id"]] = e["seed"]
		}
	}
	// until reads events up to the one with a name and id.
	until := func(id, name string) map[string]any {
		for {
			line, err := lines.ReadString('\n')
			require.NoError(t, err, "no %s of %s", name, id)
			var e map[string]any
			require.NoError(t, json.Unmarshal([]byte(line), &e), line)
			note(e)
			if e["event"] == name && (id == "" || e["id"] == id) {
				return e
			}
			if e["id"] == id && e["event"] == "error" {
				require.Fail(t, "an error", line)
			}
		}
	}
	send(`{"id":"load","type":"load","request":{"model":{"model":"nano","threads":1},"name":"n"}}`)
	until("load", "done")
	wait := func() {
		send(`{"id":"waits","type":"generate","priority":-1,"request":{"prompt":"a blue square on a white background","steps":2,"seed":1}}`)
		until("waits", "accepted")
	}
	wait()
	for i := range kills {
		id := fmt.Sprint("r", i)
		send(fmt.Sprintf(`{"id":%q,"type":"generate","request":{"prompt":"a red circle","steps":1000,"num_images":4,"max_batch":1}}`, id))
		until(id, "progress") // the other one, if it was begun with, is finished then
		send(fmt.Sprintf(`{"id":"hello%d","type":"hello"}`, i))
		pid := int(until(fmt.Sprint("hello", i), "hello")["pid"].(float64))
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		restarted := until("", "restarted")
		failed := restarted["failed"].([]any)
		assert.Contains(t, failed, id, "what was being computed")
		if len(failed) > 1 { // the other one had been begun with before: its picture was being finished
			assert.ElementsMatch(t, []any{"waits", id}, failed)
			assert.True(t, begun["waits"], "what was not begun with is computed later")
			assert.Equal(t, "error", ends["waits"])
			delete(begun, "waits")
			wait()
		}
	}
	require.NoError(t, in.Close())
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		var e map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &e), line)
		note(e)
	}
	require.NoError(t, cmd.Wait())
	assert.Equal(t, "done", ends["waits"])
	assert.Equal(t, map[any]any{"waits": 1.0}, seeds)
	for i := range kills {
		assert.Equal(t, "error", ends[fmt.Sprint("r", i)])
	}
}

// TestWorkerEndsAtSIGTERM has every request answered.
func TestWorkerEndsAtSIGTERM(t *testing.T) {
	for _, flags := range [][]string{{"worker"}, {"worker", "--supervise"}} {
		cmd := prepare(t, flags...)
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		_, err = io.WriteString(in, `{"id":"a","type":"generate","request":{"model":{"model":"nano","threads":1},"prompt":"x","steps":1000,"n_iter":9}}
{"id":"b","type":"generate","request":{"prompt":"x","steps":1000}}
`)
		require.NoError(t, err)
		ended := map[any]any{}
		lines, stopped := bufio.NewScanner(out), false
		for lines.Scan() {
			var e map[string]any
			require.NoError(t, json.Unmarshal(lines.Bytes(), &e))
			if e["event"] == "progress" && !stopped {
				stopped = true
				require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
			}
			if e["event"] == "error" {
				ended[e["id"]] = e["code"]
			}
		}
		assert.Equal(t, map[any]any{"a": "cancelled", "b": "cancelled"}, ended, flags)
		var exit interface{ ExitCode() int }
		require.ErrorAs(t, cmd.Wait(), &exit)
		assert.Equal(t, 130, exit.ExitCode(), flags)
	}
}
