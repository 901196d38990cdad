package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.."

// TestImportsAreThoseOfTheTable: every package stands in the table, with exactly the imports that it has.
func TestImportsAreThoseOfTheTable(t *testing.T) {
	rooms, err := listed(root)
	require.NoError(t, err)
	require.Greater(t, len(rooms), 20)
	text, err := os.ReadFile(filepath.Join(root, tablePath))
	require.NoError(t, err)
	assert.Equal(t, table(rooms), string(text), "go run ./tools/rooms -imports, and look at what changes")
}

// TestRulesAreThoseOfTheTable: the linter's rules say what the table says.
func TestRulesAreThoseOfTheTable(t *testing.T) {
	want, err := lint(root)
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, lintPath))
	require.NoError(t, err)
	assert.Equal(t, want, string(text), "go run ./tools/rooms")
}

func TestTableDecides(t *testing.T) {
	rooms, err := parse("# a comment\nlow:\nmiddle: low\nhigh: low middle | example.org/lib\n")
	require.NoError(t, err)
	assert.Contains(t, rules(rooms), "files: [\"**/high/*.go\", \"!$test\"]\n"+
		"          allow:\n            - $gostd\n"+
		"            - github.com/daguerre-go/daguerre/low$\n            - github.com/daguerre-go/daguerre/middle$\n"+
		"            - example.org/lib$\n")
	assert.True(t, strings.HasSuffix(table(rooms), "# floor 2\nhigh: low middle | example.org/lib\n"))
	_, err = parse("low: high\nhigh:\n")
	require.ErrorContains(t, err, "low imports high, which stands below it or nowhere")
	_, err = parse("low")
	require.ErrorContains(t, err, "no colon")
	_, err = between("text", "block")
	require.Error(t, err)
	got, err := between("a\n  # rooms:begin x\nold\n  # rooms:end\nb", "new\n")
	require.NoError(t, err)
	assert.Equal(t, "a\n  # rooms:begin x\nnew\n  # rooms:end\nb", got)
}
