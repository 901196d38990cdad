package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The pages of the documentation mark what a reader can do in the order of the page:
//
//	<!-- run -->            the commands of the block that follows work; "run: exit 3": they end with this code
//	<!-- run table -->      each command in the second column of the table works, in a folder of its own
//	<!-- output -->         the block that follows is what the commands before it print; "output: figures": any numbers in it may differ
//	<!-- file: run.toml --> the block that follows is written to this file
//	<!-- program: ... -->   belongs to embed_test.go
//
// All of a page happens in one folder with the files of standIns. DAGUERRE_UPDATE_DOCS=1 writes the outputs anew.

// mark is a marked block of a page.
type mark struct {
	kind, argument string
	line           int // of the mark, from 1
	begin, end     int // the lines of the block without its fences, or the rows of the table
}

var markPattern = regexp.MustCompile(`^<!-- (run|run table|output|file)(?:: (.*))? -->$`)

// marks finds the marked blocks of a page.
func marks(t *testing.T, page string, lines []string) (list []mark) {
	t.Helper()
	for i, line := range lines {
		found := markPattern.FindStringSubmatch(line)
		if found == nil {
			require.NotRegexp(t, `^<!-- ?(run|output|file)`, line, "%s:%d: an unknown mark", page, i+1)
			continue
		}
		m := mark{kind: found[1], argument: found[2], line: i + 1, begin: i + 2}
		require.Less(t, m.begin, len(lines), "%s:%d: nothing follows the mark", page, m.line)
		if m.kind == "run table" {
			m.begin++ // the head and the line below it
			for m.end = m.begin; strings.HasPrefix(lines[m.end], "|"); m.end++ {
			}
		} else {
			require.True(t, strings.HasPrefix(lines[i+1], "```"), "%s:%d: no block follows the mark", page, m.line)
			for m.end = m.begin; lines[m.end] != "```"; m.end++ {
			}
		}
		list = append(list, m)
	}
	return list
}

// TestPages does what the marked blocks of README and docs say.
func TestPages(t *testing.T) {
	paths, err := filepath.Glob("../../docs/*.md")
	require.NoError(t, err)
	files := newStandIns(t)
	ran := 0
	for _, path := range append([]string{"../../README.md"}, paths...) {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		list := marks(t, path, strings.Split(string(data), "\n"))
		if ran += len(list); len(list) == 0 {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".md"), func(t *testing.T) {
			t.Parallel()
			p := reader{t: t, path: path, dir: t.TempDir(), files: files, written: map[string]string{}}
			p.follow(string(data))
		})
	}
	assert.GreaterOrEqual(t, ran, 60, "README and docs have marked blocks")
}

// reader follows a page.
type reader struct {
	t         *testing.T
	path, dir string
	files     standIns
	written   map[string]string // the files that the page gives
}

// follow does all that the page's marks say.
func (p reader) follow(page string) {
	lines := strings.Split(page, "\n")
	list := marks(p.t, p.path, lines)
	p.files.into(p.t, p.dir)
	for _, m := range list {
		if m.kind == "file" {
			p.written[m.argument] = strings.Join(lines[m.begin:m.end], "\n") + "\n"
		}
	}
	last := ""
	var rewritten []string
	copied := 0
	for _, m := range list {
		block := strings.Join(lines[m.begin:m.end], "\n") + "\n"
		switch m.kind {
		case "file":
			require.NoError(p.t, os.WriteFile(filepath.Join(p.dir, m.argument), []byte(block), 0o600))
		case "run":
			last = p.shell(p.dir, m, block)
		case "run table":
			p.table(m, lines[m.begin:m.end])
		case "output":
			if os.Getenv("DAGUERRE_UPDATE_DOCS") != "" {
				rewritten = append(append(rewritten, lines[copied:m.begin]...), shown(last, lines[m.begin:m.end])...)
				copied = m.end
				continue
			}
			p.compare(m, block, last)
		}
	}
	if copied > 0 {
		text := strings.Join(append(rewritten, lines[copied:]...), "\n")
		require.NoError(p.t, os.WriteFile(p.path, []byte(text), 0o644))
	}
}

var cellCode = regexp.MustCompile("`([^`]+)`")

// table runs the code of each row's second cell, several pieces one after the other. Rows do not depend on each other.
func (p reader) table(m mark, rows []string) {
	for i, row := range rows {
		cells := strings.Split(strings.ReplaceAll(row, `\|`, "\x00"), "|")
		require.Len(p.t, cells, 4, "%s:%d: the table has two columns", p.path, m.begin+1+i)
		var script []string
		for _, code := range cellCode.FindAllStringSubmatch(cells[2], -1) {
			script = append(script, strings.ReplaceAll(code[1], "\x00", "|"))
		}
		require.NotEmpty(p.t, script, "%s:%d: the second column has a command", p.path, m.begin+1+i)
		dir := p.t.TempDir()
		p.files.into(p.t, dir)
		for name, text := range p.written {
			require.NoError(p.t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		}
		p.shell(dir, mark{line: m.begin + 1 + i}, strings.Join(script, "\n"))
	}
}

// shell runs commands and returns what they print, standard output and standard error as they come.
func (p reader) shell(dir string, m mark, script string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = dir
	home := filepath.Join(p.dir, ".home")
	cmd.Env = []string{"HOME=" + home, "PATH=" + filepath.Dir(program) + ":/usr/bin:/bin", "COLUMNS=100", "LANG=C.UTF-8",
		"DAGUERRE_LIBRARY=" + built(p.t), "DAGUERRE_CACHE=" + cacheDir}
	out, err := cmd.CombinedOutput()
	code := 0
	if cmd.ProcessState != nil {
		code = cmd.ProcessState.ExitCode()
	}
	want := 0
	if word, ok := strings.CutPrefix(m.argument, "exit "); ok {
		want, err = strconv.Atoi(word)
		require.NoError(p.t, err)
	}
	require.Equal(p.t, want, code, "%s:%d: %v\n%s\n%s", p.path, m.line, err, script, out)
	return string(out)
}

// What differs from run to run and from machine to machine: times, speeds, sizes in memory and the types that a CPU is fast in.
var varying = []struct {
	pattern *regexp.Regexp
	by      string
}{
	{regexp.MustCompile(`/tmp/[^\s:]*/`), ""},
	{regexp.MustCompile(`(?m)^others were using the machine .*\n`), ""}, // bench says so on a busy machine
	{regexp.MustCompile(`~?\b\d[\d.,]*( ?(min|ms|µs|s|h))\b( \d+ ?s\b)?`), "TIME"},
	{regexp.MustCompile(`\b\d[\d.,]*( (pictures|images|steps)/s| it/s| s/it| ?dB| ?%)`), "RATE"},
	{regexp.MustCompile(`\b\d[\d.,]* ?([KMG]i?B|bytes|B)\b`), "SIZE"},
	{regexp.MustCompile(`\b(bf16|f16|f32)\b`), "TYPE"},
	{regexp.MustCompile(`\(this CPU [^()]*(\([^()]*\))?[^()]*\)`), "(REASON)"},
	{regexp.MustCompile(`[ \t]+`), " "},
	{regexp.MustCompile(` ?\n`), "\n"},
}

// figures are words with a number in them.
var figures = regexp.MustCompile(`\S*\d\S*`)

// steady is a text without what differs from run to run.
func steady(text string, m mark) string {
	if m.argument == "figures" {
		text = figures.ReplaceAllString(text, "N")
	}
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.by)
	}
	return strings.TrimSpace(text)
}

// compare holds what a page shows against what was printed. A line "..." stands for any lines, and within a line for any text.
func (p reader) compare(m mark, want, got string) {
	p.t.Helper()
	var pattern strings.Builder
	pattern.WriteString(`(?s)\A`)
	for i, part := range strings.Split("\n"+steady(want, m)+"\n", "\n...\n") {
		if i > 0 {
			pattern.WriteString(`\n(.*\n)?`)
		}
		pattern.WriteString(strings.ReplaceAll(regexp.QuoteMeta(part), `\.\.\.`, `[^\n]*`))
	}
	pattern.WriteString(`\z`)
	assert.Regexp(p.t, pattern.String(), "\n"+steady(got, m)+"\n", "%s:%d shows\n%s\nbut the program prints\n%s\n"+
		"DAGUERRE_UPDATE_DOCS=1 go test ./cli/e2e -run TestPages rewrites it", p.path, m.line, want, got)
}

// shown is what a page shows of an output: all of it, or as many lines at the beginning and the end as it showed round "..." before.
func shown(output string, before []string) []string {
	output = regexp.MustCompile(`/tmp/[^\s:]*/`).ReplaceAllString(output, "")
	lines := strings.Split(strings.TrimRight(output, "\n"), "\n")
	if strings.Count(strings.Join(before, "\n"), "...") > 1 {
		return before // what it shows is the writer's choice
	}
	for i, line := range before {
		if line == "..." {
			tail := len(before) - i - 1
			if i+tail < len(lines) {
				return append(append(append([]string{}, lines[:i]...), "..."), lines[len(lines)-tail:]...)
			}
		}
	}
	return lines
}
