package e2e

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tableArgs asks for a table of 3 x 3 x 2 of nano; the sheets are of two models.
func tableArgs(out string) []string {
	return []string{"generate", "--model", "nano", "-p", "a red circle on a blue background", "-W", "64", "-H", "64", "--threads", "1",
		"--seed", "7", "--x", "replace=red,green,yellow", "--y", "scheduler=EulerDiscrete,DPM++ 2M Karras,Euler a", "--z", "model.precision=exact,bf16",
		"--steps", "10", "-o", filepath.Join(out, "{job:2}.png"), "--no-config"}
}

// killTable begins or continues the table, and kills it after some pictures. It reports whether it was killed before it ended.
func killTable(t *testing.T, out string, after int) bool {
	t.Helper()
	cmd := prepare(t, append(tableArgs(out), "--json")...)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines, images := bufio.NewScanner(stdout), 0
	for lines.Scan() {
		if strings.Contains(lines.Text(), `"event":"image"`) {
			if images++; images > after {
				break
			}
		}
	}
	require.NoError(t, cmd.Process.Kill())
	return cmd.Wait() != nil
}

// TestTableIsContinued: a table that is killed again and again is continued. Its files are those of a table that was not.
func TestTableIsContinued(t *testing.T) {
	whole, killed := t.TempDir(), t.TempDir()
	r := run(t, tableArgs(whole)...)
	require.Zero(t, r.code, r.stderr)
	deaths, ended := 0, false
	for _, after := range []int{1, 7, 4} { // in the first model's cells and in the second's
		if ended = !killTable(t, killed, after); ended {
			break // it was faster
		}
		deaths++
	}
	require.Positive(t, deaths)
	if !ended {
		last := run(t, tableArgs(killed)...)
		require.Zero(t, last.code, last.stderr)
		assert.Contains(t, last.stderr, "continuing an earlier run")
	}
	names := list(t, whole)
	assert.Equal(t, names, list(t, killed), "no journal and no second file")
	assert.Len(t, names, 18+2)
	for _, name := range names {
		a, err := os.ReadFile(filepath.Join(whole, name))
		require.NoError(t, err)
		b, err := os.ReadFile(filepath.Join(killed, name))
		require.NoError(t, err)
		if name == "table.csv" {
			b = bytes.ReplaceAll(b, []byte(killed), []byte(whole))
		}
		assert.True(t, bytes.Equal(a, b), name)
	}
	rows, err := csv.NewReader(strings.NewReader(readFile(t, filepath.Join(whole, "table.csv")))).ReadAll()
	require.NoError(t, err)
	assert.Len(t, rows, 19)
	img, _ := readPNG(t, filepath.Join(whole, "grid.png"))
	assert.Greater(t, img.Bounds().Dy(), 6*64)
}
