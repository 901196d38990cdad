package command

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/cli/internal/manual"
	"github.com/daguerre-go/daguerre/runtime/request"
)

var code = regexp.MustCompile("`([^`]+)`")

// tableRows calls row with the cells of every row of a page's tables whose head begins with title.
func tableRows(t *testing.T, page, title string, row func(cells []string)) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(docs, page))
	require.NoError(t, err)
	within, rows := false, 0
	for line := range strings.Lines(string(data)) {
		switch {
		case strings.HasPrefix(line, "| "+title+" |"):
			within = true
		case !strings.HasPrefix(line, "|"):
			within = false
		case within && !strings.HasPrefix(line, "|---"):
			rows++
			row(strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|"))
		}
	}
	require.Greater(t, rows, 5, page)
}

// TestComingFromHasOurNames: the flags and keys beside other programs' names exist.
func TestComingFromHasOurNames(t *testing.T) {
	var flags, keys []string
	for _, f := range manual.Of(newApp(Env{}), manual.Words{}).Find("generate").Flags {
		flags = append(flags, f.Names...)
	}
	for _, k := range request.Keys() {
		keys = append(keys, strings.TrimPrefix(k.Table+"."+k.Name, "."))
	}
	tableRows(t, "coming-from.md", "Daguerre: flag", func(cells []string) {
		require.Len(t, cells, 6)
		for _, c := range code.FindAllStringSubmatch(cells[0], -1) {
			name, _, _ := strings.Cut(c[1], " ")
			assert.Contains(t, flags, name)
		}
		named := code.FindAllStringSubmatch(cells[1], -1)
		assert.NotEmpty(t, named, cells)
		for _, c := range named {
			assert.Contains(t, keys, c[1])
		}
	})
}

// TestTroubleshootingQuotesMessages: every message on the page is one that the sources have.
func TestTroubleshootingQuotesMessages(t *testing.T) {
	var sources strings.Builder
	for _, dir := range []string{"bindings", "cli", "internal", "runtime", "models", "native/src"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(docs, "..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") ||
				!slices.Contains([]string{".go", ".cpp", ".h"}, filepath.Ext(path)) {
				return err
			}
			data, err := os.ReadFile(path)
			sources.Write(data)
			return err
		}))
	}
	// A message that is written over two lines of source, and one with a quoted name, are read as they are printed.
	text := regexp.MustCompile(`"\s*\+\s*"`).ReplaceAllString(sources.String(), "")
	text = strings.ReplaceAll(text, `\"`, `"`)
	tableRows(t, "troubleshooting.md", "message", func(cells []string) {
		quoted := code.FindStringSubmatch(cells[0])
		require.NotNil(t, quoted, cells)
		for _, part := range strings.Split(quoted[1], "...") {
			assert.True(t, strings.Contains(text, strings.TrimSpace(part)), "docs/troubleshooting.md quotes %q; no source has %q", quoted[1], part)
		}
	})
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	dropped = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinks: every link from one page to another leads to a file and a heading that exist.
func TestLinks(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(docs, "*.md"))
	require.NoError(t, err)
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "models/nano/README.md", "tools/stock/README.md"} {
		paths = append(paths, filepath.Join(docs, "..", name))
	}
	count := 0
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, found := range link.FindAllStringSubmatch(string(data), -1) {
			target, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			count++
			to := path
			if target != "" {
				to = filepath.Join(filepath.Dir(path), target)
			}
			if _, err := os.Stat(to); !assert.NoError(t, err, "%s links to %s", path, found[1]) || anchor == "" {
				continue
			}
			data, err := os.ReadFile(to)
			require.NoError(t, err)
			var anchors []string
			for _, h := range heading.FindAllStringSubmatch(string(data), -1) {
				anchors = append(anchors, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
			}
			assert.Contains(t, anchors, anchor, "%s links to %s", path, found[1])
		}
	}
	assert.Greater(t, count, 50)
}
