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

func TestCheckDrawing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.md")
	write := func(drawing string) {
		require.NoError(t, os.WriteFile(path, []byte("<!-- packages: begin -->\n"+drawing+"<!-- packages: end -->\n"), 0o644))
	}
	house := houseOf()
	write(draw(house))
	require.NoError(t, checkDrawing(path, house))

	changed := houseOf()
	changed[1].Imports = []string{"cli/new"}
	changed[2].Imports = nil
	err := checkDrawing(path, append(changed, pack{ImportPath: "cli/new"}))
	require.Error(t, err)
	for _, line := range []string{"cli/new is a package and not drawn", "runtime/middle -> runtime/ground is drawn and not imported",
		"runtime/ground -> cli/new is imported and not drawn"} {
		assert.ErrorContains(t, err, line)
	}
	assert.NotContains(t, err.Error(), "cli/top -> runtime/ground", "drawn as an arrow or as a comment, it is the same import")

	err = checkDrawing(path, house[:2])
	assert.ErrorContains(t, err, "runtime/middle is drawn and no package")
	write("")
	assert.ErrorContains(t, checkDrawing(path, house), "cli/top -> runtime/middle is imported and not drawn")
}

// TestImportsOfThisHouse holds the drawing and the linter's rules against the imports; after a change that is meant:
// go run ./tools/house -write
func TestImportsOfThisHouse(t *testing.T) {
	packages, err := list()
	require.NoError(t, err)
	require.Greater(t, len(packages), 20)
	require.NoError(t, checkDrawing("../../"+drawingFile, packages))
	require.NoError(t, checkRules("../../"+rulesFile, packages))
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
	require.ErrorContains(t, checkRules(path, house), "house -write")
	require.NoError(t, tool.WritePart(path, rulesMarker, rules))
	require.NoError(t, checkRules(path, house))
	require.Error(t, checkRules(path, house[1:]))
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

// The whole house can be read: what is listed has this package, and the drawing of it reads back as it is.
func TestThisHouse(t *testing.T) {
	packages, err := list()
	require.NoError(t, err)
	nodes, arrows := parse(draw(packages))
	imports := 0
	for _, p := range packages {
		if p.drawn() {
			assert.True(t, nodes[p.ImportPath], p.ImportPath)
			imports += len(p.Imports)
		}
	}
	assert.Len(t, arrows, imports)
	assert.True(t, arrows["cli/daguerre -> cli/command"])
}
