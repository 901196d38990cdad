package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCacheCommands(t *testing.T) {
	b := newBench(t)
	home := t.TempDir()
	t.Setenv("DAGUERRE_CACHE", home)
	require.Equal(t, ExitOK, b.run("cache", "list"), b.stderr)
	assert.Contains(t, b.stdout, "No converted weights are kept in "+filepath.Join(home, "weights"))
	require.Equal(t, ExitOK, b.run("cache", "list", "--json"), b.stderr)
	assert.JSONEq(t, "[]", b.stdout)

	folder := filepath.Join(home, "weights")
	require.NoError(t, os.Mkdir(folder, 0o700))
	for name, age := range map[string]time.Duration{"unet-aa.weights": 0, "text_encoder-bb.weights": 40 * 24 * time.Hour} {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, make([]byte, 2048), 0o600))
		at := time.Now().Add(-age)
		require.NoError(t, os.Chtimes(path, at, at))
	}
	require.Equal(t, ExitOK, b.run("cache", "list"), b.stderr)
	assert.Contains(t, b.stdout, "unet-aa.weights")
	assert.Contains(t, b.stdout, "4.0 KiB in "+folder)
	require.Equal(t, ExitOK, b.run("cache", "list", "--json"), b.stderr)
	var files []struct {
		Component string
		Bytes     int64
	}
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &files))
	require.Len(t, files, 2)
	assert.Equal(t, "unet", files[0].Component)

	b.now = time.Now
	require.Equal(t, ExitOK, b.run("cache", "clean", "--unused", "720h"), b.stderr)
	assert.Contains(t, b.stdout, "1 file removed, 2.0 KiB freed")
	assert.FileExists(t, filepath.Join(folder, "unet-aa.weights"))
	require.Equal(t, ExitOK, b.run("cache", "clean", "--json"), b.stderr)
	assert.JSONEq(t, `{"files": 1, "freed": 2048}`, b.stdout)
	require.Equal(t, ExitOK, b.run("cache", "clean"), b.stderr)
	assert.Contains(t, b.stdout, "0 files removed")
	assert.Equal(t, ExitUsage, b.run("cache", "clean", "all"))
	assert.Equal(t, ExitUsage, b.run("cache", "clean", "--unused", "-1h"))
}
