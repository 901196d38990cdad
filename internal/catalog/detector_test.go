package catalog

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDetectorsByName: a client names a detector of the folders, and no path; the file takes the place of the name.
func TestDetectorsByName(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "face.safetensors")
	require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	c, err := New(Options{Models: []string{"nano"}, Detectors: []string{dir}})
	require.NoError(t, err)
	names, err := c.List(Detector)
	require.NoError(t, err)
	assert.Equal(t, []string{"face"}, names)
	run, _, _, err := c.Decode([]byte(`{"prompt": "x", "detail": [{"detector": "face"}]}`))
	require.NoError(t, err)
	require.NoError(t, c.Resolve(&run, nil))
	assert.Equal(t, path, run.Jobs[0].Details[0].Detector)
	for _, bad := range []string{path, "other", "../face"} {
		_, _, _, err := c.Decode([]byte(`{"prompt": "x", "detail": [{"detector": "` + bad + `"}]}`))
		assert.ErrorContains(t, err, "detail[0].detector: there is no detector", bad)
	}
}
