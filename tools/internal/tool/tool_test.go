package tool

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOutput(t *testing.T) {
	out, err := Output(exec.Command("/bin/sh", "-c", "echo a"))
	require.NoError(t, err)
	assert.Equal(t, "a\n", string(out))
	_, err = Output(exec.Command("/bin/sh", "-c", "echo why >&2; exit 3"))
	assert.ErrorContains(t, err, "exit status 3: why")
	var exit *exec.ExitError
	assert.ErrorAs(t, err, &exit)
}

func TestParts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.md")
	require.NoError(t, os.WriteFile(path, []byte("a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n"), 0o644))
	require.NoError(t, WritePart(path, "x", "new\n"))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb\n", string(data))
	p, err := ReadPart(path, "x")
	require.NoError(t, err)
	assert.Equal(t, "new\n", p.Text)
	assert.ErrorContains(t, WritePart(path, "y", ""), "<!-- y: begin -->")
}
