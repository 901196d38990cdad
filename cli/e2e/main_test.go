// Package e2e runs the built program against the real library, as a user would. It needs libdaguerre
// (`make`), and no test of it is ever skipped.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/imagefile"
)

// program is the built binary; workDir, inside the module, lets it find the library of the build folder.
var program, workDir, cacheDir string

// emulatedArch is another CPU's GOARCH where the program runs under an emulator (make test-arm64).
var emulatedArch = os.Getenv("DAGUERRE_TEST_GOARCH")

func TestMain(m *testing.M) { os.Exit(runAll(m)) }

func runAll(m *testing.M) int {
	dir, err := os.MkdirTemp("", "daguerre-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// The program is also run as another user, who must be able to reach it.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	program, cacheDir = filepath.Join(dir, "daguerre"), filepath.Join(dir, "cache")
	build := exec.Command("go", "build", "-o", program, "../daguerre")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if emulatedArch != "" {
		build.Env = append(build.Env, "GOARCH="+emulatedArch)
	}
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the program: %v\n%s", err, out)
		return 1
	}
	if workDir, err = os.Getwd(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// result is what a run of the program left behind.
type result struct {
	code           int
	stdout, stderr string
	cpuSeconds     float64
}

// prepare makes a command of the program. Cancelling the test's context kills it.
func prepare(t *testing.T, args ...string) *exec.Cmd {
	limit := 3 * time.Minute
	if emulatedArch != "" {
		limit *= 10
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = workDir
	cmd.Env = append(os.Environ(), "DAGUERRE_CACHE="+cacheDir)
	return cmd
}

// finish runs a prepared command.
func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	r := result{cmd.ProcessState.ExitCode(), out.String(), errs.String(), (cmd.ProcessState.UserTime() +
		cmd.ProcessState.SystemTime()).Seconds()}
	assert.NotContains(t, r.stderr, "goroutine ", "the program must not crash")
	assert.NotContains(t, r.stderr, "panic:")
	assert.NotContains(t, r.stderr, "SIG")
	return r
}

func run(t *testing.T, args ...string) result {
	t.Helper()
	return finish(t, prepare(t, args...))
}

// events parses JSON lines.
func events(t *testing.T, text string) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(text) {
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &m), line)
		out = append(out, m)
	}
	return out
}

// readPNG returns a file's picture and text.
func readPNG(t *testing.T, path string) (image.Image, map[string]string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	img, err := png.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	texts, err := imagefile.ReadText(data)
	require.NoError(t, err)
	out := map[string]string{}
	for _, x := range texts {
		out[x.Keyword] = x.Value
	}
	return img, out
}

// list returns the names in a folder, hidden ones included.
func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
