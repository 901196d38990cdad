//go:build linux

package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFewThreads runs the program where a user may have few threads: it works, or says what it lacks. Go cannot even begin with fewer.
func TestFewThreads(t *testing.T) {
	dir, err := os.MkdirTemp("", "daguerre-few-") // not t.TempDir: its parents are closed to other users
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o777))
	library := os.Getenv("DAGUERRE_LIBRARY")
	if library == "" {
		library = filepath.Join(workDir, "..", "..", "build", "cpu")
	}
	copied := filepath.Join(dir, "libdaguerre-cpu.so") // the other user may not reach the build folder
	data, err := os.ReadFile(filepath.Join(library, "libdaguerre-cpu.so"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(copied, data, 0o755)) //nolint:gosec // a library
	user := os.Getuid()
	if user == 0 {
		user = nobody
	}
	said, worked := 0, 0
	for _, more := range []int{8, 9, 10, 12, 14, 16, 24, 40} {
		bash, err := exec.LookPath("bash")
		require.NoError(t, err)
		cmd := prepare(t, "generate", "--model", "nano", "--threads", "2", "--prompt", "x", "--steps", "2", "-o", filepath.Join(dir, "x.png"))
		cmd.Args = append([]string{"bash", "-c", fmt.Sprintf(`ulimit -u %d; exec "$0" "$@"`, threadsOf(t, user)+more)}, cmd.Args...)
		cmd.Path, cmd.Dir = bash, dir
		cmd.Env = append(cmd.Env, "HOME="+dir, "DAGUERRE_CACHE="+filepath.Join(dir, "cache"), "DAGUERRE_LIBRARY="+copied)
		if os.Getuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
		r := finish(t, cmd)
		switch r.code {
		case 0:
			worked++
		case 4:
			said++
			assert.Regexp(t, `^daguerre: only \d+ more threads? may be started, and 8 are needed`, r.stderr)
		default:
			assert.Fail(t, "another end", "%d more threads: exit code %d: %s", more, r.code, r.stderr)
		}
	}
	assert.Positive(t, said)
	assert.Positive(t, worked)
}

// threadsOf counts the threads of a user.
func threadsOf(t *testing.T, user int) (n int) {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*/status")
	require.NoError(t, err)
	for _, p := range processes {
		f, err := os.Open(p)
		if err != nil {
			continue // it has ended
		}
		text, _ := io.ReadAll(f)
		_ = f.Close()
		if strings.Contains(string(text), fmt.Sprintf("\nUid:\t%d\t", user)) {
			n++
		}
	}
	return n
}
