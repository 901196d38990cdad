package worker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

// TestOutputsAreCheckedBeforeTheModel: a request whose files cannot be made is refused before a model is opened for it; one that is
// accepted gets its files.
func TestOutputsAreCheckedBeforeTheModel(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "in"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "plain"), nil, 0o600))
	t.Chdir(filepath.Join(dir, "in"))
	b := &fake.Backend{}
	c := start(t, fakeOptions(b))
	for id, fields := range map[string]object{"below": {"output": "../plain/x.png"}, "up": {"output": "sub/../../plain/x.png"},
		"long":    {"output": strings.Repeat("x", 245) + "{seed}.png", "seed": -1},
		"latents": {"output": "x.png", "save_latents": "../plain/x.npy"}} {
		c.send(small(id, fields))
		last := c.last(id)
		assert.Equal(t, "error", last["event"], id)
		assert.Equal(t, codeInvalid, last["code"], id)
		key := "output"
		if id == "latents" {
			key = "save_latents"
		}
		assert.Contains(t, last["message"], key, id)
	}
	assert.Zero(t, b.Count(fake.OpOpen))
	c.send(small("good", object{"output": "sub/../../new/{seed}.png"}))
	assert.Equal(t, "done", c.last("good")["event"])
	assert.FileExists(t, filepath.Join(dir, "new", "7.png"))
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	assert.Empty(t, entries)
}
