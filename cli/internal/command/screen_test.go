package command

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNamesDoNotActOnATerminal: whatever a file is called, its name is shown escaped in errors, warnings, results and tables; JSON has it
// as it is.
func TestNamesDoNotActOnATerminal(t *testing.T) {
	const evil = "e\x1b[31m\u202egnp\u009b1m\a\nx\xff"
	b := newBench(t)
	out := b.path("out" + evil + ".png")
	plain := func(args ...string) string {
		t.Helper()
		shown := b.stdout + b.stderr
		for _, bad := range []string{"\x1b", "\u202e", "\u009b", "\a", "\xff"} {
			assert.NotContains(t, shown, bad, args)
		}
		return shown
	}
	for _, args := range [][]string{
		{"generate", "--model", b.path(evil + ".safetensors"), "--prompt", "x", "-o", b.path("x.png")},
		{"generate", "--model", "nano", "--prompt", "x", "--init-image", b.path(evil), "-o", b.path("x.png")},
		{"generate", "-c", b.path(evil + ".toml")},
		{"generate", "--model", "nano", "--prompt", "x", "--scheduler", evil},
		{"generate", "--" + evil},
		{evil},
		{"models", "inspect", b.path(evil)},
		{"lora", "list", "--lora-dir", b.path(evil)},
		{"control", "preprocess", b.path(evil), "-o", b.path("c.png"), "--preprocessor", "canny"},
	} {
		assert.NotZero(t, b.run(args...), args)
		plain(args...)
		assert.NotEmpty(t, b.stderr, args)
		for line := range strings.Lines(strings.TrimSpace(b.stderr)) {
			assert.True(t, strings.HasPrefix(line, "daguerre: ") || strings.HasPrefix(line, "  "), "a name begins a line: %q", b.stderr)
		}
	}
	require.Zero(t, b.run("generate", "--model", "nano", "--prompt", "x"+strings.ReplaceAll(evil, "\xff", ""), "--width", "64", "--height",
		"64", "--steps", "1", "--output", strings.ReplaceAll(out, "\xff", "")), b.stderr)
	shown := plain("generate")
	assert.Contains(t, shown, `oute\x1b[31m\u202egnp\u009b1m\a\nx.png`)
	assert.Len(t, strings.Split(strings.TrimSpace(b.stdout), "\n"), 1, "a picture has one line")

	require.Zero(t, b.run("generate", "--json", "--model", "nano", "--prompt", "x", "--width", "64", "--height", "64", "--steps", "1",
		"--output", b.path("j\u202e\x1b.png")), b.stderr)
	assert.Contains(t, b.stdout, "j\u202e\\u001b.png")
	for line := range strings.Lines(b.stdout) {
		var e map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		if e["event"] == "image" {
			assert.FileExists(t, e["path"].(string))
		}
	}
	require.NoError(t, os.WriteFile(b.path("run.json"), []byte(`{"model":"nano","prompt":"a \u202e b"}`), 0o600))
	require.Zero(t, b.run("request", "normalize", b.path("run.json")))
	assert.Contains(t, b.stdout, "a \u202e b", "what is for programs stays as it is")
}
