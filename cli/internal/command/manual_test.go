//go:build !race

package command

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/manual"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// listed is what the program has: by the path of each command that is not hidden its commands and its flags, with dashes.
func listed(t *testing.T) map[string][2][]string {
	t.Helper()
	app := newApp(Env{})
	all := map[string][2][]string{}
	var walk func(path string, commands []*cli.Command, flags []cli.Flag)
	walk = func(path string, commands []*cli.Command, flags []cli.Flag) {
		entry := [2][]string{1: {"--help", "-h"}}
		for _, f := range flags {
			for _, n := range f.Names() {
				entry[1] = append(entry[1], strings.Repeat("-", min(len(n), 2))+n)
			}
		}
		for _, c := range commands {
			if !c.Hidden {
				entry[0] = append(entry[0], c.Name)
				walk(strings.TrimSpace(path+" "+c.Name), c.Subcommands, c.Flags)
			}
		}
		all[path] = entry
	}
	walk("", app.Commands, app.Flags)
	require.Greater(t, len(all), 30)
	return all
}

// completion is the script for a shell.
func completion(t *testing.T, shell string) string {
	t.Helper()
	b := newBench(t)
	require.Equal(t, ExitOK, b.run("completion", shell), b.stderr)
	return b.stdout
}

// completer asks bash for the completions of command lines: it loads the script and does as bash does when Tab is pressed.
const completer = `
source "$1"
while IFS= read -r line; do
    read -ra COMP_WORDS <<<"${line% }"
    [[ $line != *' ' ]] || COMP_WORDS+=('')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$line COMP_POINT=${#line}
    __daguerre_complete daguerre "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "${COMPREPLY[*]}"
done
`

// bashCompletes returns what bash offers at the end of each line.
func bashCompletes(t *testing.T, lines ...string) [][]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "daguerre.bash")
	require.NoError(t, os.WriteFile(file, []byte(completion(t, "bash")), 0o600))
	cmd := exec.CommandContext(t.Context(), "bash", "--norc", "-c", completer, "bash", file)
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	require.NoError(t, err, errs.String())
	require.Empty(t, errs.String())
	offers := [][]string{}
	for line := range strings.Lines(string(out)) {
		offers = append(offers, strings.Fields(line))
	}
	require.Len(t, offers, len(lines))
	return offers
}

func TestBashCompletesEveryCommandAndFlag(t *testing.T) {
	all := listed(t)
	paths := slices.Sorted(maps.Keys(all))
	var lines []string
	for _, path := range paths {
		at := strings.Join(strings.Fields("daguerre "+path), " ")
		lines = append(lines, at+" ", at+" -")
	}
	offers := bashCompletes(t, lines...)
	for i, path := range paths {
		assert.ElementsMatch(t, all[path][1], offers[2*i+1], "flags of %q", path)
		if len(all[path][0]) > 0 {
			assert.ElementsMatch(t, all[path][0], offers[2*i], "commands of %q", path)
		}
	}
}

func TestBashCompletes(t *testing.T) {
	for i, c := range []struct {
		line string
		want []string
	}{
		{"daguerre gen", []string{"generate"}},
		{"daguerre models con", []string{"convert"}},
		{"daguerre --version mod", []string{"models"}},
		{"daguerre generate --negative-p", []string{"--negative-prompt", "--negative-prompt-2"}},
		{"daguerre generate --prompt demo --negative-p", []string{"--negative-prompt", "--negative-prompt-2"}},
		{"daguerre bench --html compare --htm", []string{"--html"}}, // compare is the flag's value, not the command
		{"daguerre bench --html = compare --htm", []string{"--html"}},
		{"daguerre bench compare --htm", nil},
		{"daguerre generate --scheduler EulerA", []string{"EulerAncestralDiscreteScheduler"}},
		{"daguerre generate --scheduler ", scheduler.Names()},
		{"daguerre generate --scheduler =", scheduler.Names()},
		{"daguerre generate --scheduler = EulerA", []string{"EulerAncestralDiscreteScheduler"}},
		{"daguerre generate --scheduler = EulerDiscrete --precision ex", []string{"exact"}},
		{"daguerre schedulers show Euler", []string{"EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler"}},
		{"daguerre completion ", manual.Shells},
		{"daguerre generate --model ", nil}, // files
		{"daguerre generate --model sd", nil},
		{"daguerre upscale ", nil},
		{"daguerre xyzzy", nil},
	} {
		got := bashCompletes(t, c.line)[0]
		assert.ElementsMatch(t, c.want, got, "%d: %s", i, c.line)
	}
}

// TestEveryShellHasEveryCommandAndFlag looks for them in the part of each script that belongs to the command.
func TestEveryShellHasEveryCommandAndFlag(t *testing.T) {
	all := listed(t)
	between := func(s, from, to string) string {
		_, s, ok := strings.Cut(s, from)
		require.True(t, ok, "no %q", from)
		s, _, _ = strings.Cut(s, to)
		return s
	}
	zsh, fish, powershell := completion(t, "zsh"), completion(t, "fish"), completion(t, "powershell")
	for path, entry := range all {
		inZsh := between(zsh, "\n        '"+path+"')\n", ";;\n")
		inPowerShell := between(powershell, "\n        '"+path+"' = @{\n", "\n        }\n")
		for _, want := range slices.Concat(entry[0], entry[1]) {
			assert.True(t, strings.Contains(inZsh, " '"+want+":"), "zsh, %q: %s", path, want)
			assert.True(t, strings.Contains(inPowerShell, " '"+want+"\t"), "PowerShell, %q: %s", path, want)
		}
		var inFish []string
		for line := range strings.Lines(fish) {
			if rest, ok := strings.CutPrefix(line, fmt.Sprintf(`complete -c daguerre -n '__daguerre_at \'%s\''`, path)); ok {
				words, _, _ := strings.Cut(rest, " -d ")
				inFish = append(inFish, words+" ")
			}
		}
		have := strings.Join(inFish, "\n")
		for _, want := range entry[0] {
			assert.True(t, strings.Contains(have, " -a "+want+" "), "fish, %q: %s", path, want)
		}
		for _, want := range entry[1] {
			flag := " -l " + strings.TrimLeft(want, "-") + " "
			if len(want) == 2 {
				flag = " -s " + want[1:] + " "
			}
			assert.True(t, strings.Contains(have, flag), "fish, %q: %s", path, want)
		}
	}
	for shell, script := range map[string]string{"zsh": zsh, "fish": fish, "powershell": powershell} {
		assert.False(t, strings.Contains(script, "bench session"), "%s: a hidden command", shell)
		assert.True(t, strings.Contains(script, "EulerAncestralDiscreteScheduler"), shell)
	}
}

func TestCompletionOfAnUnknownShell(t *testing.T) {
	b := newBench(t)
	assert.Equal(t, ExitUsage, b.run("completion", "tcsh"))
	assert.Contains(t, b.stderr, `unknown shell "tcsh"; known are bash, zsh, fish, powershell`)
	assert.Equal(t, ExitUsage, b.run("completion"))
	assert.Contains(t, b.stderr, "name a shell: bash, zsh, fish, powershell")
}

func TestManualHasEveryCommandAndFlag(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run("man", "-o", b.path("man")), b.stderr)
	all := listed(t)
	files, err := os.ReadDir(b.path("man"))
	require.NoError(t, err)
	assert.Len(t, files, len(all))
	for path, entry := range all {
		name := strings.ReplaceAll(strings.TrimSpace("daguerre "+path), " ", "-")
		data, err := os.ReadFile(filepath.Join(b.path("man"), name+".1"))
		require.NoError(t, err)
		page := strings.ReplaceAll(string(data), `\-`, "-")
		assert.True(t, strings.HasPrefix(page, `.TH "`+strings.ToUpper(name)+`" 1 "" "daguerre `), name)
		for _, section := range []string{"NAME", "SYNOPSIS", "OPTIONS"} {
			assert.Contains(t, page, "\n.SH \""+section+"\"\n", name)
		}
		for _, c := range entry[0] {
			assert.True(t, strings.Contains(page, `\fB`+name+"-"+c+`\fR(1)`), "%s: %s", name, c)
		}
		_, options, _ := strings.Cut(page, "\n.SH \"OPTIONS\"\n")
		for _, f := range entry[1] {
			assert.Regexp(t, `(?m)^\\fB(.*[ \[])?`+f+`[ ,\\]`, options, name)
		}
		for line := range strings.Lines(page) { // text must not be taken for a request
			if line[0] == '.' {
				assert.Regexp(t, `^\.(TH|SH|SS|TP|PP|nf|fi|br|nh|ad l)\b`, line, name)
			}
		}
		assert.Equal(t, strings.Count(page, "\n.nf\n"), strings.Count(page, "\n.fi\n"), name)

		require.Equal(t, ExitOK, b.run(append([]string{"man"}, strings.Fields(path)...)...))
		assert.Equal(t, string(data), b.stdout)
	}
}

func TestManualRefuses(t *testing.T) {
	b := newBench(t)
	assert.Equal(t, ExitUsage, b.run("man", "genrate"))
	assert.Contains(t, b.stderr, `unknown command "genrate"`)
	assert.Equal(t, ExitUsage, b.run("man", "generate", "-o", b.path("man")))
	assert.Contains(t, b.stderr, "writes the pages of all commands")
	assert.Equal(t, ExitUsage, b.run("man", "bench", "session"), "a hidden command")
	plain := b.write("plain", "")
	assert.Equal(t, ExitFailure, b.run("man", "-o", plain))
	assert.Contains(t, b.stderr, plain)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.ctx = ctx
	assert.Equal(t, ExitCancelled, b.run("man", "-o", b.path("man")))
}
