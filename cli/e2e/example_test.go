package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exampleBlock is a block of the worked example in docs/architecture.md.
func exampleBlock(t *testing.T, name string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/architecture.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(page), "<!-- example: "+name+" -->\n```")
	require.True(t, ok, "%s is not in the page", name)
	_, rest, _ = strings.Cut(rest, "\n")
	block, _, _ := strings.Cut(rest, "```")
	return block
}

// TestWorkedExample adds the scheduler of docs/architecture.md by the three files that the page shows, and makes a picture with it.
func TestWorkedExample(t *testing.T) {
	dir, module := t.TempDir(), filepath.Join(workDir, "..", "..", "runtime", "scheduler")
	replace := map[string]string{}
	file := func(name string, text func(old string) string) {
		old, err := os.ReadFile(filepath.Join(module, name))
		if !os.IsNotExist(err) {
			require.NoError(t, err)
		}
		replace[filepath.Join(module, name)] = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text(string(old))), 0o600))
	}
	after := func(name, place string) {
		file(name, func(old string) string {
			require.Contains(t, old, place)
			return strings.Replace(old, place, place+exampleBlock(t, name), 1)
		})
	}
	file("plain_euler.go", func(string) string { return exampleBlock(t, "plain_euler.go") })
	after("registry.go", "var methods = map[string]method{\n")
	after("schedulers.json", "\"schedulers\": [\n")
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))

	extended := filepath.Join(dir, "daguerre")
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", extended, "../daguerre")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	picture := func(scheduler string) []byte {
		name := filepath.Join(dir, scheduler+".png")
		cmd := prepare(t, "generate", "--model", "nano", "--scheduler", scheduler, "--steps", "6", "--seed", "1", "--metadata=false", "--prompt",
			"a red circle on a blue background", "-o", name)
		cmd.Path = extended
		r := finish(t, cmd)
		require.Equal(t, 0, r.code, r.stderr)
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		return data
	}
	assert.Equal(t, picture("EulerDiscrete"), picture("plain"), "without churn both are Euler's method")
	assert.NotEqual(t, picture("EulerDiscrete"), picture("DDPM"))
}

// TestComponentExample: the files of the example of a component have what the page says.
func TestComponentExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/architecture.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(page), "<!-- example: component -->\n")
	require.True(t, ok)
	rows := 0
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(line, "|")
		require.Len(t, cells, 5)
		names := cellCode.FindAllStringSubmatch(cells[3], -1)
		if len(names) == 0 {
			continue // the head
		}
		rows++
		file := cellCode.FindStringSubmatch(cells[2])[1]
		data, err := os.ReadFile(filepath.Join("..", "..", file))
		require.NoError(t, err, file)
		for _, name := range names {
			assert.True(t, strings.Contains(string(data), name[1]), "%s has no %s", file, name[1])
		}
	}
	assert.Equal(t, 12, rows)
}
