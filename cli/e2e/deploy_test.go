package e2e

import (
	"bufio"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/install"
)

// fromTop reads a file by its path from the repository's root.
func fromTop(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", path))
	require.NoError(t, err)
	return string(data)
}

// TestUnitOnASocket calls the worker as examples/systemd does: with one end of a Unix socket as standard input and output.
func TestUnitOnASocket(t *testing.T) {
	unit := fromTop(t, "examples/systemd/daguerre-worker@.service")
	line := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/daguerre (.+)$`).FindStringSubmatch(unit)
	require.Len(t, line, 2)
	dir, err := os.MkdirTemp("", "daguerre-unit-") // a socket's name must be short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	require.NoError(t, err)
	defer listener.Close()
	client, err := net.Dial("unix", filepath.Join(dir, "s"))
	require.NoError(t, err)
	defer client.Close()
	server, err := listener.Accept()
	require.NoError(t, err)
	end, err := server.(*net.UnixConn).File()
	require.NoError(t, err)
	require.NoError(t, server.Close())

	cmd := exec.CommandContext(t.Context(), program, strings.Fields(line[1])...)
	cmd.Dir, cmd.Env = workDir, append(os.Environ(), "DAGUERRE_CACHE="+cacheDir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = end, end, os.Stderr
	require.NoError(t, cmd.Start())
	require.NoError(t, end.Close())
	require.NoError(t, client.SetDeadline(time.Now().Add(3*time.Minute)))
	const request = `{"id": 1, "type": "generate", "request": {"model": "nano", "prompt": "a red circle", "num_inference_steps": 2}}`
	_, err = client.Write([]byte(request + "\n"))
	require.NoError(t, err)
	var names []string
	lines := bufio.NewScanner(client)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var e struct{ Event, Data string }
		require.NoError(t, json.Unmarshal(lines.Bytes(), &e))
		if names = append(names, e.Event); e.Event == "done" {
			break
		}
	}
	require.NoError(t, lines.Err())
	assert.Contains(t, names, "image")
	assert.Equal(t, "done", names[len(names)-1])
	require.NoError(t, client.(*net.UnixConn).CloseWrite())
	assert.False(t, lines.Scan(), "it ends with its client")
	require.NoError(t, cmd.Wait())
}

// TestContainerfile holds the version of the archive that the container takes.
func TestContainerfile(t *testing.T) {
	assert.Contains(t, fromTop(t, "examples/container/Containerfile"), "\nARG VERSION="+install.Version+"\n")
}

// TestWorkflowsCallTargets: what the workflows call is in the Makefile, and nothing else builds or tests.
func TestWorkflowsCallTargets(t *testing.T) {
	makefile := fromTop(t, "Makefile")
	files, err := filepath.Glob("../../.github/workflows/*.yml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text := fromTop(t, filepath.Join(".github", "workflows", filepath.Base(file)))
		var targets []string
		for _, m := range regexp.MustCompile(`(?m)(?:run: |^ +)make ([a-z-]+)|- target: ([a-z-]+)`).FindAllStringSubmatch(text, -1) {
			targets = append(targets, m[1]+m[2])
		}
		require.NotEmpty(t, targets)
		for _, target := range targets {
			assert.Regexp(t, `(?m)^`+target+`:`, makefile, "%s calls make %s", file, target)
		}
		assert.NotRegexp(t, `\bgo (build|test|run|vet)\b|build\.sh [a-z]|cmake -`, text, file)
		for _, m := range regexp.MustCompile(`uses: (\S+)`).FindAllStringSubmatch(text, -1) {
			assert.Regexp(t, `@v\d+\.\d+\.\d+$`, m[1], "actions have a version")
		}
	}
}
