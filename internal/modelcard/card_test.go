package modelcard

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
)

const nano = "../../models/nano"

// TestOf describes the nano model's files.
func TestOf(t *testing.T) {
	for file, want := range map[string]Card{
		"nano-controlnet-canny.safetensors": {Kind: modelfile.KindControlNet, Type: "F16"},
		"nano-lora-stripes.safetensors":     {Kind: modelfile.KindLoRA, Type: "F16"},
		"nano-taesd.safetensors":            {Kind: modelfile.KindTAESD, Type: "F16"},
	} {
		c := Of("", filepath.Join(nano, file))
		st, err := os.Stat(filepath.Join(nano, file))
		require.NoError(t, err)
		assert.Equal(t, st.Size(), c.Size, file)
		assert.Empty(t, c.Reason, file)
		assert.Equal(t, want.Kind, c.Kind, file)
		assert.Equal(t, want.Type, c.Type, file)
	}
	for path, reason := range map[string]string{
		"missing":                   "no such file",
		filepath.Join(nano, "x"):    "no such file",
		filepath.Join(nano, "."):    "",
		filepath.Join(nano, "../."): "",
	} {
		c := Of("", path)
		assert.Equal(t, modelfile.KindUnknown, c.Kind, path)
		assert.NotEmpty(t, c.Reason, path)
		assert.Contains(t, c.Reason, reason, path)
	}
}

// TestOfRemembers a file as long as it is the same, and reads it again when it is not.
func TestOfRemembers(t *testing.T) {
	cache, path := t.TempDir(), filepath.Join(t.TempDir(), "x.safetensors")
	data, err := os.ReadFile(filepath.Join(nano, "nano-lora-stripes.safetensors"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, data, 0o600))
	require.Equal(t, modelfile.KindLoRA, Of(cache, path).Kind)

	entries, err := filepath.Glob(filepath.Join(cache, "headers", "*.json"))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	text, err := os.ReadFile(entries[0])
	require.NoError(t, err)
	changed := strings.Replace(string(text), `"base":"`, `"base":"remembered `, 1)
	if changed == string(text) {
		changed = strings.Replace(changed, `"size":`, `"base":"remembered ","size":`, 1)
	}
	require.NoError(t, os.WriteFile(entries[0], []byte(changed), 0o600))
	assert.Contains(t, Of(cache, path).Base, "remembered", "the file is not read again")

	require.NoError(t, os.WriteFile(path, data[:100], 0o600))
	assert.NotEmpty(t, Of(cache, path).Reason, "it is another file now")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	assert.NotContains(t, Of(cache, path).Base, "remembered")

	require.NoError(t, os.WriteFile(entries[0], []byte("{"), 0o600))
	assert.Equal(t, modelfile.KindLoRA, Of(cache, path).Kind, "a damaged entry is as none")
	assert.Equal(t, modelfile.KindLoRA, Of(filepath.Join(path, "no folder"), path).Kind, "a cache that cannot be written is no harm")
}
