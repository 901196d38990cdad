//go:build !race

package command

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v2"
)

// allCommands are the commands that help is shown of, by their paths without the program; "" is the program.
func allCommands() map[string]*cli.Command {
	out := map[string]*cli.Command{"": nil}
	app := newApp(Env{Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}, Now: time.Now})
	for _, c := range app.Commands {
		out[c.Name] = c
		for _, s := range c.Subcommands {
			out[c.Name+" "+s.Name] = s
		}
	}
	return out
}

func commandOf(t *testing.T, path string) *cli.Command {
	t.Helper()
	c := allCommands()[path]
	require.NotNil(t, c, path)
	return c
}

// TestHelpInAnyPlace: behind arguments, between flags, in the place of a value, beside mistakes.
func TestHelpInAnyPlace(t *testing.T) {
	b := newBench(t)
	for path := range allCommands() {
		words := strings.Fields(path)
		var want string
		for i, line := range [][]string{append(slices.Clone(words), "--help"), append(slices.Clone(words), "-h"),
			append([]string{"help"}, words...), append(slices.Clone(words), "--help", "--no-such-flag"),
			append(slices.Clone(words), "--no-such-flag=3", "--help")} {
			require.Equal(t, ExitOK, b.run(line...), "%v: %s", line, b.stderr)
			if i == 0 {
				want = b.stdout
			}
			assert.Equal(t, want, b.stdout, "%v", line)
			assert.True(t, strings.HasPrefix(b.stdout, strings.TrimSpace("daguerre "+path)+" - "), "%v", line)
			assert.Empty(t, b.stderr)
		}
		if c := allCommands()[path]; c != nil && len(c.Subcommands) == 0 {
			for _, line := range [][]string{append(slices.Clone(words), "photo.jpg", "--help"), append(slices.Clone(words), "a", "b", "-h", "c")} {
				require.Equal(t, ExitOK, b.run(line...), "%v: %s", line, b.stderr)
				assert.Equal(t, want, b.stdout, "%v", line)
			}
		}
	}
	require.Equal(t, ExitOK, b.run("generate", "--model", "--help"), "no model is called so")
	assert.Contains(t, b.stdout, "daguerre generate - ")
	assert.NotEqual(t, ExitOK, b.run("models", "inspect", "--", "--help"), "behind -- it is a name")
}

// TestHelpGroups: the short help is short and names the groups, which together have all flags.
func TestHelpGroups(t *testing.T) {
	b := newBench(t)
	for path, c := range allCommands() {
		if c == nil {
			continue
		}
		require.Equal(t, ExitOK, b.run(append(strings.Fields(path), "--help")...))
		short := b.stdout
		assert.LessOrEqual(t, strings.Count(short, "\n"), 80, "%s", path)
		require.Equal(t, ExitOK, b.run(append(strings.Fields(path), "--help=all")...))
		all := b.stdout
		for _, f := range c.Flags {
			for _, n := range f.Names() {
				assert.Contains(t, all, strings.Repeat("-", min(len(n), 2))+n, "%s", path)
			}
		}
		if len(c.Flags) < manyFlags {
			continue
		}
		for _, n := range []string{"--prompt", "--model", "--output", "--steps", "--seed"} {
			if slices.ContainsFunc(c.Flags, func(f cli.Flag) bool { return "--"+f.Names()[0] == n }) {
				assert.Contains(t, short, n, path)
			}
		}
		for line := range strings.Lines(short) {
			group, ok := strings.CutPrefix(line, "   --help=")
			if group, _, _ = strings.Cut(group, " "); !ok || group == helpAll {
				continue
			}
			require.Equal(t, ExitOK, b.run(append(strings.Fields(path), "--help="+strings.TrimSpace(group))...), "%s: %s", path, b.stderr)
			for line := range strings.Lines(b.stdout) {
				assert.Contains(t, all, line, "%s --help=%s", path, group)
			}
		}
	}
}

// tooWide returns the lines that are wider than width. A line may be one long word, and in 40 columns one argument in quotes.
func tooWide(text string, width int) (lines []string) {
	quoted := regexp.MustCompile(`"[^"]*"|'[^']*'`)
	if width > 40 {
		quoted = regexp.MustCompile(`^$`)
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		parts := strings.Fields(quoted.ReplaceAllString(strings.TrimSuffix(line, ` \`), "x"))
		if utf8.RuneCountInString(line) > width && len(parts) > 1 {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestHelpFits: all help at 80 and 40 columns, and at 80 into a pipe. A wide terminal is used.
func TestHelpFits(t *testing.T) {
	b := newBench(t)
	for path := range allCommands() {
		for _, help := range []string{"--help", "--help=all"} {
			lines := map[int]int{}
			for _, width := range []int{0, 40, 80, 100} {
				b.width = width
				require.Equal(t, ExitOK, b.run(append(strings.Fields(path), help)...))
				most := width
				if width == 0 {
					most = pipeWidth
				}
				assert.Empty(t, tooWide(b.stdout, most), "%s %s at %d", path, help, width)
				lines[width] = strings.Count(b.stdout, "\n")
			}
			assert.Equal(t, lines[80], lines[0])
			assert.GreaterOrEqual(t, lines[40], lines[80])
			assert.LessOrEqual(t, lines[100], lines[80])
		}
	}
}

// TestListsFit: what commands list at 80 and 40 columns. In a pipe, rows stay on one line.
func TestListsFit(t *testing.T) {
	b := newBench(t)
	b.native.devices, b.plan = testDevices, planned
	require.Equal(t, ExitOK, b.run(append(quick, "--json", b.path("old.json"))...), b.stderr)
	compared := "bench compare --all " + b.path("old.json") + " " + b.path("old.json")
	b.write("a-very-long-name-of-an-adapter-for-the-style-of-old-photographs.safetensors", "")
	for _, list := range []string{"schedulers list", "schedulers list --all", "schedulers show DPMSolverMultistep --plot",
		"schedulers recommend", "schedulers recommend --distilled lightning", "control list", "request names", "request names --all",
		"models inspect nano --check", "devices", "doctor", "lora list " + b.dir, "lora inspect ../../../models/nano/nano-lora-stripes.safetensors",
		"--version", strings.Join(quick, " ") + " --quantize load", "plan --model nano --prompt x --batch 2 --memory-limit 3GiB",
		compared} {
		rows := map[int]int{}
		for _, width := range []int{0, 40, 80, 200} {
			b.width = width
			require.Contains(t, []int{ExitOK, ExitFile}, b.run(strings.Fields(list)...), "%s: %s", list, b.stderr)
			if width > 0 {
				assert.Empty(t, tooWide(b.stdout, width), "%s at %d", list, width)
			}
			rows[width] = strings.Count(b.stdout, "\n")
		}
		if !strings.HasPrefix(list, "bench --") { // whose notes depend on what others do, and which is 80 wide in a pipe
			assert.GreaterOrEqual(t, rows[80], rows[0], list)
		}
	}
}
