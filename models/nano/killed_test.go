//go:build unix

package nano

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestKilledUnpacking: what a killed process left goes away at the next start, and what a living one writes stays.
func TestKilledUnpacking(t *testing.T) {
	const child = "DAGUERRE_NANO_TEST_KILLED"
	if os.Getenv(child) != "" {
		_, err := Path(t.Context())
		require.NoError(t, err)
		return
	}
	dir := t.TempDir()
	half := func() []string {
		found, err := filepath.Glob(filepath.Join(dir, ".*.tmp"))
		require.NoError(t, err)
		return found
	}
	strange := filepath.Join(dir, ".notes.tmp")
	require.NoError(t, os.WriteFile(strange, nil, 0o600))
	for range 20 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledUnpacking$")
		cmd.Env = append(os.Environ(), child+"=1", CacheEnv+"="+dir)
		require.NoError(t, cmd.Start())
		for began := time.Now(); len(half()) < 2 && time.Since(began) < 10*time.Second; {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(3 * time.Millisecond) // it is locked now
		require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
		time.Sleep(20 * time.Millisecond)
		caught := len(half()) == 2
		if caught {
			_, err := unpack(t.Context(), dir, "nano-base", base, BaseSHA256())
			require.NoError(t, err)
			assert.Len(t, half(), 2, "a living process's file stays")
		}
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		path, err := unpack(t.Context(), dir, "nano-base", base, BaseSHA256())
		require.NoError(t, err)
		assert.Equal(t, []string{strange}, half(), "what it left is gone, and nothing else")
		require.NoError(t, os.Remove(path))
		if caught {
			return
		}
	}
	require.Fail(t, "no process was stopped while it unpacked")
}
