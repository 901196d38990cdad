//go:build unix

package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daguerre-go/daguerre/cli/internal/serve/servetest"
	"github.com/daguerre-go/daguerre/internal/hubtest"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// work starts a worker and waits until it is ready.
func work(t *testing.T, flags ...string) (name string, cmd *exec.Cmd) {
	t.Helper()
	cmd = prepare(t, append([]string{"work", "--json"}, flags...)...)
	log := &lockedBuffer{}
	cmd.Stderr, cmd.Stdout = log, nil
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the worker's log:\n%s", log.String())
		}
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	require.NoError(t, err, log.String())
	var ready struct{ Event, Worker string }
	require.NoError(t, json.Unmarshal(line, &ready), "%s", line)
	require.Equal(t, "ready", ready.Event)
	return ready.Worker, cmd
}

// TestFleet has a server that makes nothing, and workers: one makes a run, and after it has ended another one makes the next.
func TestFleet(t *testing.T) {
	url, store := servetest.NATS(t), filepath.Join(t.TempDir(), "store")
	shared := []string{"--nats", url, "--store", store}
	first, cmd := work(t, append([]string{"--model", "small=nano"}, shared...)...)
	s := serve(t, nil, append([]string{"--api-only"}, shared...)...)
	made := func(id string) (run struct{ State, Model string }) {
		require.Eventually(t, func() bool {
			_, text := s.call("GET", "/v1/runs/"+id, "", "")
			require.NoError(t, json.Unmarshal([]byte(text), &run))
			return run.State == "done"
		}, time.Minute, 10*time.Millisecond)
		return run
	}
	const body = `{"prompt": "a red circle", "seed": 1, "num_inference_steps": 2}`
	var models struct{ Models []struct{ Name string } }
	require.Eventually(t, func() bool { // the worker may be heard of after the server has begun
		_, text := s.call("GET", "/v1/catalog/models", "", "")
		require.NoError(t, json.Unmarshal([]byte(text), &models))
		return len(models.Models) == 1 && models.Models[0].Name == "small"
	}, time.Minute, 10*time.Millisecond)
	assert.Equal(t, "small", made(s.submit("", body)).Model)

	status := func() (f struct {
		Workers []struct {
			Name   string
			Device string
			Made   int
			Loaded []string
		}
		Waiting int
	}) {
		out, err := prepare(t, "fleet", "status", "--json", "--nats", url).Output()
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(out, &f))
		return f
	}
	require.Eventually(t, func() bool {
		f := status()
		return len(f.Workers) == 1 && f.Workers[0].Made == 1
	}, time.Minute, 10*time.Millisecond)
	f := status()
	assert.Equal(t, first, f.Workers[0].Name)
	assert.Equal(t, []string{"small"}, f.Workers[0].Loaded)
	assert.NotEmpty(t, f.Workers[0].Device)

	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait())
	assert.Empty(t, status().Workers)
	id := s.submit("", body) // the server still knows the model
	out, err := prepare(t, "fleet", "status", "--nats", url).Output()
	require.NoError(t, err)
	assert.Contains(t, string(out), "no worker has small")
	work(t, append([]string{"--model", "small=nano"}, shared...)...)
	made(id)

	out, err = prepare(t, "fleet", "dead", "--nats", url).Output()
	require.NoError(t, err)
	assert.Equal(t, "No run is dead.\n", string(out))
	bad := prepare(t, "fleet", "resubmit", "--nats", url, id)
	text, err := bad.CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(text), "only what has failed can be submitted again")
}

// TestFleetPull has a worker without files, and a hub: nothing is fetched until a run waits for the model, and then the worker makes it.
func TestFleetPull(t *testing.T) {
	hub := hubtest.New()
	t.Cleanup(hub.Close)
	path, err := nano.Path(t.Context())
	require.NoError(t, err)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	hub.Commit("test/nano", "main", map[string][]byte{"nano.safetensors": data})
	home := t.TempDir()
	for key, value := range map[string]string{"HF_ENDPOINT": hub.Hub.URL, "HF_HOME": home, "HF_HUB_CACHE": "", "HUGGINGFACE_HUB_CACHE": "",
		"HF_HUB_OFFLINE": "", "TRANSFORMERS_OFFLINE": "", "HF_TOKEN": ""} {
		t.Setenv(key, value)
	}
	shared := []string{"--nats", servetest.NATS(t), "--store", filepath.Join(t.TempDir(), "store")}
	work(t, append([]string{"--pull", "far=test/nano"}, shared...)...)
	s := serve(t, nil, append([]string{"--api-only"}, shared...)...)
	require.Eventually(t, func() bool {
		_, text := s.call("GET", "/v1/catalog/models", "", "")
		return strings.Contains(text, `"far"`)
	}, time.Minute, 10*time.Millisecond)
	there, err := os.ReadDir(home)
	require.NoError(t, err)
	assert.Empty(t, there, "no run has asked for the model")
	id := s.submit("", `{"model": "far", "prompt": "a red circle", "seed": 1, "num_inference_steps": 2}`)
	require.Eventually(t, func() bool {
		_, text := s.call("GET", "/v1/runs/"+id, "", "")
		return strings.Contains(text, `"state":"done"`)
	}, time.Minute, 10*time.Millisecond)
	there, err = os.ReadDir(home)
	require.NoError(t, err)
	assert.NotEmpty(t, there)
}

// TestFleetFlags gives flags that do not go together.
func TestFleetFlags(t *testing.T) {
	for args, want := range map[string]string{
		"work": "--nats is missing", "work --nats nats://x --store y --pull ../x": "--pull ../x: it is no name",
		"work --nats nats://x": "--store is missing", "work --nats-creds x --store y": "--nats names",
		"serve --api-only": "needs the --nats and the --store", "serve --api-only --nats nats://x --store y --model nano": "--model is of a worker",
		"fleet status": "--nats is missing", "fleet resubmit --nats nats://x": "give the ids",
		"fleet resubmit --nats nats://x --all r1": "give the ids", "fleet dead --nats nats://x r1": "tells of all",
	} {
		out, err := prepare(t, strings.Fields(args)...).CombinedOutput()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit, args)
		assert.Equal(t, 2, exit.ExitCode(), "%s: %s", args, out)
		assert.Contains(t, string(out), want, args)
	}
}
