package weightcache

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// put writes a file of n bytes that was last written, and used, so many hours ago.
func put(t *testing.T, folder, name string, n int, written, usedAgo time.Duration) {
	t.Helper()
	path := filepath.Join(folder, name)
	require.NoError(t, os.WriteFile(path, make([]byte, n), 0o600))
	at := time.Now().Add(-written)
	require.NoError(t, os.Chtimes(path, at, at))
	if usedAgo > 0 {
		require.NoError(t, os.WriteFile(path+used, nil, 0o600))
		at = time.Now().Add(-usedAgo)
		require.NoError(t, os.Chtimes(path+used, at, at))
	}
}

func names(t *testing.T, folder string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestListAndTrim(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "unet-aa.weights", 100, 9*time.Hour, time.Hour)
	put(t, dir, "text_encoder_2-bb.weights", 50, 8*time.Hour, 0)
	put(t, dir, "vae_decoder-cc.weights", 30, 7*time.Hour, 2*time.Hour)
	put(t, dir, "unet-dd.weights.0123.part", 20, time.Minute, 0)
	put(t, dir, "unet-ee.weights.4567.part", 20, 30*time.Hour, 0)
	put(t, dir, "somebody's.txt", 1000, time.Hour, 0)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "unet-ff.weights"), 0o700))

	files, err := List(dir)
	require.NoError(t, err)
	var order []string
	for _, f := range files {
		order = append(order, f.Component)
	}
	assert.Equal(t, []string{"unet", "unet", "vae_decoder", "text_encoder_2", "unet"}, order, "by last use")
	assert.True(t, files[0].Partial)
	assert.EqualValues(t, 100, files[1].Bytes)

	left, err := Trim(dir, 160, time.Now())
	require.NoError(t, err)
	assert.EqualValues(t, 150, left)
	assert.Equal(t, []string{"somebody's.txt", "unet-aa.weights", "unet-aa.weights.used", "unet-dd.weights.0123.part", "unet-ff.weights",
		"vae_decoder-cc.weights", "vae_decoder-cc.weights.used"}, names(t, dir), "what was not used for longest, and what a dead writer left")
	left, err = Trim(dir, 0, time.Now())
	require.NoError(t, err)
	assert.EqualValues(t, 20, left, "somebody is writing it")
	assert.Equal(t, []string{"somebody's.txt", "unet-dd.weights.0123.part", "unet-ff.weights"}, names(t, dir))

	files, err = List(filepath.Join(dir, "nowhere"))
	require.NoError(t, err)
	assert.Empty(t, files)
}

func TestOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "weights")
	assert.Equal(t, backend.WeightCache{}, Open(t.Context(), "", 0))
	assert.Equal(t, backend.WeightCache{}, Open(t.Context(), dir, -1))
	assert.NoDirExists(t, dir)
	got := Open(t.Context(), dir, 1000)
	assert.DirExists(t, dir)
	assert.Equal(t, dir, got.Folder)
	assert.LessOrEqual(t, got.MostBytes, int64(1000))
	assert.EqualValues(t, leastBytes, got.LeastBytes)
	t.Setenv(leastKey, "7")
	assert.EqualValues(t, 7, Open(t.Context(), dir, 0).LeastBytes)

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	got = Open(t.Context(), filepath.Join(file, "weights"), 0)
	assert.EqualValues(t, -1, got.MostBytes, "a folder that cannot be made is no harm")
	assert.Empty(t, Folder(""))
}
