//go:build screen

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// terminal is a terminal of tmux in which a command line runs.
type terminal struct {
	t      *testing.T
	socket string
	width  int
}

func newTerminal(t *testing.T, width int, dir, line string, env ...string) *terminal {
	t.Helper()
	_, err := exec.LookPath("tmux")
	require.NoError(t, err, "make test-screen needs tmux")
	x := &terminal{t, fmt.Sprintf("daguerre-%d-%d", os.Getpid(), time.Now().UnixNano()), width}
	args := []string{"new-session", "-d", "-x", fmt.Sprint(width), "-y", "60"}
	for _, e := range append(env, "DAGUERRE_CACHE="+filepath.Join(dir, "cache"), "XDG_CONFIG_HOME="+dir) {
		args = append(args, "-e", e)
	}
	args = append(args, "-e", "DAGUERRE_LIBRARY="+built(t))
	x.tmux(append(args, fmt.Sprintf("trap : INT; cd %s && %s; echo THE END $?; sleep 600", dir, line))...)
	t.Cleanup(func() { _ = exec.Command("tmux", "-L", x.socket, "kill-server").Run() })
	return x
}

func (x *terminal) tmux(args ...string) string {
	x.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-L", x.socket}, args...)...).CombinedOutput()
	require.NoError(x.t, err, "%s", out)
	return string(out)
}

// show is what the terminal shows now, without empty lines.
func (x *terminal) show() (lines []string) {
	for line := range strings.Lines(x.tmux("capture-pane", "-p")) {
		if line = strings.TrimRight(line, " \n"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// watch looks at the terminal until the command ends, holds each look against what may be seen, and returns the last one.
func (x *terminal) watch(stop func(lines []string) bool) []string {
	x.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		lines := x.show()
		bars := 0
		for i, line := range lines {
			if strings.ContainsAny(line, "█░") {
				if bars++; strings.Contains(line, "^C") {
					continue // the terminal shows the key, and the program says below that it stops
				}
				assert.Equal(x.t, len(lines)-1, i, "a bar is the last line:\n%s", strings.Join(lines, "\n"))
				assert.Regexp(x.t, barLine, line, "nothing else is on a bar's line")
			}
		}
		assert.LessOrEqual(x.t, bars, 1, "bars do not pile up:\n%s", strings.Join(lines, "\n"))
		assert.NotContains(x.t, strings.Join(lines, "\n"), " it/", "speeds have a unit")
		if len(lines) > 0 && strings.HasPrefix(lines[len(lines)-1], "THE END") || stop != nil && stop(lines) {
			return lines
		}
	}
	require.Fail(x.t, "the command does not end", "%s", strings.Join(x.show(), "\n"))
	return nil
}

var barLine = regexp.MustCompile(`^ *\d+% \|[█░]+\|  [a-z0-9/]+( [a-z0-9_./]+)*.*$`)

// screenText replaces what differs between runs: times, speeds, sizes of batches, what the machine has.
func screenText(lines []string) string {
	text := strings.Join(lines, "\n")
	for _, r := range [][2]string{
		{`(?s)nano: sdxl-base on.*?opened\s+in\s+[0-9.]+\s+s`, "nano: (the model)"},
		{`\d+ min \d+ s`, "N s"}, {`[0-9.]+\ss\b`, "N s"}, {`[0-9.]+ pictures/(s|min|h)`, "N pictures/s"},
		{`(?s)\n  128x128, \d+ steps,\s+[A-Z].*?\)\n`, "\n  (the batches)\n"}, {`(?s)\n(with your own defaults).*?\n`, "\n"},
		{`(?m)^\d+/12 pictures, \d+ %.*\n`, ""}, // how many there are depends on the machine
	} {
		text = regexp.MustCompile(r[0]).ReplaceAllString(text, r[1])
	}
	return text + "\n"
}

// golden holds a text against testdata/screen; DAGUERRE_UPDATE_DOCS=1 writes it anew.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", "screen", name+".txt")
	if os.Getenv("DAGUERRE_UPDATE_DOCS") != "" {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), text, name)
}

const twelve = ` generate --model nano --prompt "a red circle" --seed 1 -n 12 --steps 40 --batch 1 -o c.png`

// TestScreens: what people see at 80 and 40 columns, while it runs and in the end. DAGUERRE_SCREEN_MODEL names a full-size model, whose loading
// is watched too.
func TestScreens(t *testing.T) {
	for _, width := range []int{80, 40} {
		name := func(s string) string { return fmt.Sprintf("%s-%d", s, width) }
		t.Run(name("demo"), func(t *testing.T) {
			lines := newTerminal(t, width, t.TempDir(), program+" demo").watch(nil)
			golden(t, name("demo"), screenText(lines))
		})
		t.Run(name("twelve"), func(t *testing.T) {
			lines := newTerminal(t, width, t.TempDir(), program+twelve).watch(nil)
			golden(t, name("twelve"), screenText(lines))
		})
		t.Run(name("plain"), func(t *testing.T) {
			lines := newTerminal(t, width, t.TempDir(), program+twelve, "TERM=dumb", "NO_COLOR=1").watch(nil)
			assert.NotContains(t, strings.Join(lines, "\n"), "█", "a terminal that cannot draw gets lines")
			assert.Contains(t, strings.Join(lines, "\n"), "THE END 0")
		})
		t.Run(name("resumed"), func(t *testing.T) {
			dir := t.TempDir()
			first := newTerminal(t, width, dir, program+twelve)
			first.watch(func(lines []string) bool { return strings.Contains(strings.Join(lines, "\n"), "c-2.png") })
			first.tmux("send-keys", "C-c")
			first.watch(nil)
			lines := newTerminal(t, width, dir, program+twelve).watch(nil)
			assert.Contains(t, strings.Join(strings.Fields(strings.Join(lines, " ")), " "), "continuing an earlier run: ")
		})
		if model := os.Getenv("DAGUERRE_SCREEN_MODEL"); model != "" {
			t.Run(name("load"), func(t *testing.T) {
				x := newTerminal(t, width, t.TempDir(), program+" generate -p x -W 64 -H 64 --steps 1 -o x.png --model "+model)
				// Where the file is in memory already it is open in three seconds; the bytes show before that.
				loading := regexp.MustCompile(`load .*(MiB|GiB)`)
				require.Eventually(t, func() bool { return loading.MatchString(strings.Join(x.show(), "\n")) }, 3*time.Second, 50*time.Millisecond)
				x.watch(nil)
			})
		}
	}
	t.Run("pipe", func(t *testing.T) {
		lines := newTerminal(t, 80, t.TempDir(), program+twelve+" 2>&1 | cat").watch(nil)
		golden(t, "pipe", screenText(lines))
	})
}
