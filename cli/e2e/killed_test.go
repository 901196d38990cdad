//go:build wine || emulated

package e2e

import (
	"bufio"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// killAfter starts a run that prints JSON, and kills it after its first n pictures.
func killAfter(t *testing.T, cmd *exec.Cmd, n int) {
	t.Helper()
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	made := 0
	for lines := bufio.NewScanner(stdout); made < n && lines.Scan(); {
		if strings.Contains(lines.Text(), `"event":"image"`) {
			made++
		}
	}
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.Equal(t, n, made)
}
