package command

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/models/nano"
)

func TestInspectNano(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run("models", "inspect", "nano", "--check"), b.stderr)
	for _, want := range []string{"kind            sdxl-base", "layout          original", "COMPONENT", "text_encoder_2", "F16", "METADATA",
		"check: every tensor is there, with the right shape"} {
		assert.Contains(t, b.stdout, want)
	}
	assert.NotContains(t, b.stdout, "sha256")
	require.Equal(t, ExitOK, b.run("models", "inspect", "--hash", "nano", "--json"), b.stderr)
	var r modelfile.Report
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &r))
	assert.Equal(t, modelfile.KindSDXLBase, r.Kind)
	assert.Equal(t, nano.BaseSHA256(), r.Files[0].SHA256)
	assert.Empty(t, b.stderr)
	require.Equal(t, ExitOK, b.run("models", "inspect", "nano", "--hash"), b.stderr)
	assert.Contains(t, b.stdout, "sha256 "+nano.BaseSHA256())
}

func TestInspectBadFiles(t *testing.T) {
	b := newBench(t)
	for name, c := range map[string]struct{ content, want string }{
		"empty.safetensors": {"", "empty"},
		"one.safetensors":   {"x", "one.safetensors"},
		"text.safetensors":  {strings.Repeat("not a model ", 10), "text.safetensors"},
		"long.safetensors":  {"\xff\xff\xff\xff\xff\xff\xff\x7f{}      ", "long.safetensors"},
	} {
		assert.Equal(t, ExitFile, b.run("models", "inspect", b.write(name, c.content)), name)
		assert.Contains(t, b.stderr, c.want)
		assert.Empty(t, b.stdout)
	}
	assert.Equal(t, ExitFile, b.run("models", "inspect", b.path("none.safetensors")))
	assert.Contains(t, b.stderr, "no such file")
	assert.Equal(t, ExitFile, b.run("models", "inspect", t.TempDir()))
}

func TestInspectKeepsControlCharactersOffTheTerminal(t *testing.T) {
	b := newBench(t)
	header := `{"__metadata__":{"evil":"\u001b[2J\u009bx"},"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`
	for len(header)%8 != 0 {
		header += " "
	}
	path := b.write("evil.safetensors", string([]byte{byte(len(header)), 0, 0, 0, 0, 0, 0, 0})+header+"\x00\x00\x00\x00")
	require.Equal(t, ExitOK, b.run("models", "inspect", path), b.stderr)
	assert.Contains(t, b.stdout, "evil")
	assert.NotContains(t, b.stdout, "\x1b")
	assert.NotContains(t, b.stdout, "\u009b")
}

func TestSynth(t *testing.T) {
	b := newBench(t)
	path := b.path("nano.safetensors")
	require.Equal(t, ExitOK, b.run("models", "synth", "--kind", "nano", "-o", path, "--seed", "3"), b.stderr)
	assert.Contains(t, b.stdout, "nano.safetensors  ")
	assert.Equal(t, []string{"nano.safetensors"}, b.files())
	first, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, ExitOK, b.run("models", "inspect", path, "--check"), b.stderr)

	assert.Equal(t, ExitUsage, b.run("models", "synth", "--kind", "nano", "-o", path))
	assert.Contains(t, b.stderr, "exists already; give another name with -o, or --overwrite")
	require.Equal(t, ExitOK, b.run("models", "synth", "--kind", "nano", "-o", path, "--seed", "3", "--overwrite", "--quiet"), b.stderr)
	assert.Empty(t, b.stdout+b.stderr)
	again, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, first, again)

	require.Equal(t, ExitOK, b.run("models", "synth", "--kind", "nano", "-o", b.path("folder")+"/", "--json"), b.stderr)
	assert.FileExists(t, filepath.Join(b.dir, "folder", "model_index.json"))
	events := b.events()
	assert.Equal(t, "start", events[0]["event"])
	assert.Equal(t, "file", events[len(events)-2]["event"])
	assert.Equal(t, "done", events[len(events)-1]["event"])
	require.Equal(t, ExitOK, b.run("models", "inspect", b.path("folder"), "--check", "--json"), b.stderr)
	assert.True(t, json.Valid([]byte(b.stdout)), "the check adds nothing to JSON")
	assert.Equal(t, ExitUsage, b.run("models", "synth", "--kind", "nano", "-o", b.path("folder")+"/"))
	assert.Equal(t, ExitUsage, b.run("models", "synth", "--kind", "nano", "-o", b.path("nano.safetensors/x.safetensors")))
}

func TestSynthCancelled(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	b.ctx = ctx
	began := time.Now()
	assert.Equal(t, ExitCancelled, b.run("models", "synth", "--kind", "sdxl-base", "-o", b.path("big.safetensors")), b.stderr)
	assert.Less(t, time.Since(began), time.Minute)
	assert.Empty(t, b.files())
}
