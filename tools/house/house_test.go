package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

func TestExportedIn(t *testing.T) {
	const text = "package x\n" +
		"const ( A = 1; b = 2 )\n" +
		"var C, d, E int\n" +
		"type F struct{ G int }\n" +
		"func (F) H() {}\n" +
		"func I() {}\n" +
		"func j() {}\n"
	f, err := parser.ParseFile(token.NewFileSet(), "x.go", text, 0)
	require.NoError(t, err)
	assert.Equal(t, 5, exportedIn(f), "A, C, E, F and I")
}

func TestPublic(t *testing.T) {
	for path, want := range map[string]bool{"runtime/x": true, "internal/x": false, "cli/internal/x": false} {
		assert.Equal(t, want, pack{Name: "x", ImportPath: path}.public(), path)
	}
	assert.False(t, pack{Name: "main", ImportPath: "cli/x"}.public())
}

// houseOf is a house of three floors, where the top imports the ground directly and by way of the middle.
func houseOf() []pack {
	return []pack{
		{ImportPath: "cli/top", Imports: []string{"runtime/middle", "runtime/ground"}},
		{ImportPath: "runtime/ground"},
		{ImportPath: "runtime/middle", Imports: []string{"runtime/ground"}},
		{ImportPath: "tools/x", Imports: []string{"cli/top"}},
	}
}

func TestDraw(t *testing.T) {
	assert.Equal(t, "```mermaid\nflowchart TD\n"+
		"    subgraph cli_[cli]\n        cli/top[top]\n    end\n"+
		"    subgraph runtime_[runtime]\n        runtime/ground[ground]\n        runtime/middle[middle]\n    end\n"+
		"    cli/top --> runtime/middle\n    %% cli/top --> runtime/ground\n"+
		"    runtime/middle --> runtime/ground\n```\n", draw(houseOf()))
}

func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.md")
	write := func(drawing string) {
		require.NoError(t, os.WriteFile(path, []byte("<!-- packages: begin -->\n"+drawing+"<!-- packages: end -->\n"), 0o644))
	}
	house := houseOf()
	write(draw(house))
	require.NoError(t, check(path, marker, draw(house)))

	changed := houseOf()
	changed[1].Imports = []string{"cli/new"}
	changed[2].Imports = nil
	err := check(path, marker, draw(append(changed, pack{ImportPath: "cli/new"})))
	require.Error(t, err)
	for _, line := range []string{"  + cli/new[new]", "  - runtime/middle --> runtime/ground\n", "  + runtime/ground --> cli/new\n"} {
		assert.ErrorContains(t, err, line)
	}
	assert.ErrorContains(t, check(path, marker, draw(house[:2])), "- runtime/middle[middle]")
	write("")
	assert.ErrorContains(t, check(path, marker, draw(house)), "+ cli/top --> runtime/middle")
}

// TestImportsOfThisHouse holds the drawing and the linter's rules against the imports; after a change that is meant:
// go run ./tools/house -write
func TestImportsOfThisHouse(t *testing.T) {
	packages, err := list()
	require.NoError(t, err)
	require.Greater(t, len(packages), 20)
	require.NoError(t, check("../../"+drawingFile, marker, draw(packages)))
	require.NoError(t, check("../../"+rulesFile, rulesMarker, rulesOf(packages)))
}

func TestRules(t *testing.T) {
	house := append(houseOf(), pack{ImportPath: "a/b", libraries: []string{"example.org/lib"}})
	rules := rulesOf(house)
	assert.Contains(t, rules, "        cli-top:\n          list-mode: strict\n          files: [\"**/cli/top/*.go\", \"!$test\"]\n"+
		"          allow:\n            - $gostd\n            - github.com/daguerre-go/daguerre/runtime/ground$\n"+
		"            - github.com/daguerre-go/daguerre/runtime/middle$\n")
	assert.Contains(t, rules, "            - example.org/lib$\n")
	path := filepath.Join(t.TempDir(), "x.yml")
	require.NoError(t, os.WriteFile(path, []byte("a:\n        # <!-- imports: begin -->\n        # <!-- imports: end -->\n"), 0o644))
	require.ErrorContains(t, check(path, rulesMarker, rules), "house -write")
	require.NoError(t, tool.WritePart(path, rulesMarker, rules))
	require.NoError(t, check(path, rulesMarker, rules))
	require.Error(t, check(path, rulesMarker, rulesOf(house[1:])))
}

func TestIsCode(t *testing.T) {
	for path, want := range map[string]bool{"a/b.go": true, "native/src/x.cpp": true, "native/include/x.h": true, "a/b_test.go": false,
		"runtime/backend/backendtest/suite.go": false,
		"native/tests/x.cpp":                   false, "a/testdata/x.c": false, "x.py": false} {
		assert.Equal(t, want, isCode(path), path)
	}
}

func TestMeasureCountsRows(t *testing.T) {
	var m measure
	m.add([]byte("a\n\n" + strings.Repeat("x", 140) + "\n" + strings.Repeat("x", 141) + "\n" + strings.Repeat("ä", 281)))
	assert.Equal(t, measure{files: 1, lines: 5, rows: 1 + 1 + 1 + 2 + 3}, m)
}

// The whole house can be read: what is listed and drawn has this program's package and its imports.
func TestThisHouse(t *testing.T) {
	packages, err := list()
	require.NoError(t, err)
	assert.Contains(t, draw(packages), "\n    cli/daguerre --> cli/")
	assert.Contains(t, rulesOf(packages), "        tools-house:\n")
}
