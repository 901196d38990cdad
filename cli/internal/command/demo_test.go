package command

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

func TestDemo(t *testing.T) {
	b := newBench(t)
	t.Chdir(b.dir)
	require.Equal(t, ExitOK, b.run("demo"), b.stderr)
	assert.Equal(t, []string{"demo.png"}, b.files())
	assert.Regexp(t,
		`^demo\.png  \d+x\d+  seed 42  [0-9.]+ s  \(embedded nano model; see README for others\)\n$`, b.stdout)
	_, text := readPNG(t, "demo.png")
	assert.Contains(t, text["parameters"], demoPrompt+"\nSteps: 20, ")
	require.Equal(t, ExitOK, b.run("demo", "a green square", "-o", "other.webp", "--seed", "-1"), b.stderr)
	assert.Contains(t, b.stderr, `"a green square"`)
	require.Equal(t, ExitOK, b.run("demo", "-o", "third.jpg", "--prompt", "a pink star", "--quiet"), b.stderr)
	assert.Empty(t, b.stdout+b.stderr)
	assert.Equal(t, []string{"demo.png", "other.webp", "third.jpg"}, b.files())
}

func TestDemoMistakes(t *testing.T) {
	b := newBench(t)
	for _, args := range [][]string{{"demo", "a", "red", "circle"}, {"demo", "a", "--prompt", "b"}, {"demo", "-o", "x"}, {"demo", "-o",
		"x.gif"}} {
		assert.Equal(t, ExitUsage, b.run(args...), "%v: %s", args, b.stderr)
	}
	assert.Zero(t, b.backend.Count(fake.OpOpen))
}
