//go:build unix && !race

package command

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRunFilesThatCannotBeRead: every command that reads a run file ends with the same code and names the file, whatever is wrong with it.
func TestRunFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	pipe, loop, locked := filepath.Join(dir, "pipe"), filepath.Join(dir, "loop"), at("locked", "")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	require.NoError(t, os.Symlink(loop, loop))
	require.NoError(t, os.Chmod(locked, 0))
	files := map[string]struct {
		path, says string
		code       int
	}{
		"missing":           {filepath.Join(dir, "missing.toml"), "no such file", ExitFile},
		"below a file":      {filepath.Join(at("file", ""), "run.toml"), "not a directory", ExitFile},
		"a folder":          {dir, "is a directory", ExitFile},
		"a pipe":            {pipe, "is a named pipe", ExitFile},
		"a device":          {os.DevNull, "is a device", ExitFile},
		"a circle of links": {loop, "too many", ExitFile},
		"a name too long":   {filepath.Join(dir, strings.Repeat("x", 300)), "too long", ExitFile},
		"another's":         {locked, "permission denied", ExitFile},
		"no TOML":           {at("no.toml", "= ="), "not TOML", ExitUsage},
		"no JSON":           {at("no.json", "["), "not a JSON object", ExitUsage},
		"an unknown key":    {at("key.toml", "unknown = 1"), "unknown", ExitUsage},
		"a bad value":       {at("value.toml", "model = 'nano'\nwidth = 3"), "width", ExitUsage},
	}
	if os.Getuid() == 0 {
		delete(files, "another's") // root may read it
	}
	for name, f := range files {
		for _, args := range [][]string{{"generate", "-c"}, {"plan", "-c"}, {"request", "validate"}, {"request", "normalize"}} {
			for _, more := range [][]string{nil, {"--json"}} {
				if args[len(args)-1] == "normalize" && more != nil {
					continue // it has no such flag
				}
				b := newBench(t)
				line := slices.Concat(args, []string{f.path}, more)
				assert.Equal(t, f.code, b.run(line...), "%s: %s: %s", name, line, b.stderr)
				assert.Contains(t, b.stderr+b.stdout, f.says, "%s: %s", name, line)
				if f.code == ExitFile {
					assert.Contains(t, b.stderr, filepath.Base(f.path), "%s: %s", name, line)
				}
			}
		}
	}
}
