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
			assert.Contains(t, flags, c[1])
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
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") || !slices.Contains([]string{".go", ".cpp", ".h"}, filepath.Ext(path)) {
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
