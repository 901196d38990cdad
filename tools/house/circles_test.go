package main

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// oneWay lists the packages whose files use each other in one direction only.
var oneWay = []string{"runtime/pipeline", "internal/prepare", "internal/conditioning", "internal/steps", "internal/pictures",
	"internal/models", "internal/plan", "internal/memory"}

// TestFilesReachDown: in the pipeline and the packages that it was split into, no file uses a function, method, type or variable of a file
// that uses it, directly or through others.
func TestFilesReachDown(t *testing.T) {
	root, err := exec.Command("go", "env", "GOROOT").Output() // a test that was built with -trimpath does not know it
	require.NoError(t, err)
	build.Default.GOROOT = strings.TrimSpace(string(root))
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "source", nil) // for all of them: it keeps what it has read
	for _, dir := range oneWay {
		assert.Empty(t, circles(usesOf(t, filepath.Join("..", "..", dir), fset, imports)), dir)
	}
	assert.Equal(t, []string{"a.go and b.go"}, circles(map[string][]string{"a.go": {"b.go"}, "b.go": {"a.go"}, "c.go": {"a.go"}}))
}

// circles lists pairs of files that use each other, the first directly.
func circles(uses map[string][]string) (out []string) {
	var reaches func(from, to string, seen map[string]bool) bool
	reaches = func(from, to string, seen map[string]bool) bool {
		if from == to {
			return true
		}
		seen[from] = true
		return slices.ContainsFunc(uses[from], func(next string) bool { return !seen[next] && reaches(next, to, seen) })
	}
	for a, list := range uses {
		for _, b := range list {
			if a < b && reaches(b, a, map[string]bool{}) {
				out = append(out, fmt.Sprintf("%s and %s", a, b))
			}
		}
	}
	slices.Sort(out)
	return out
}

// usesOf lists, for each file of a package, the other files whose names it uses. Fields do not count: they are their type's.
func usesOf(t *testing.T, dir string, fset *token.FileSet, imports types.Importer) map[string][]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, 0)
		require.NoError(t, err)
		files = append(files, f)
	}
	require.NotEmpty(t, files)
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	wd, err := os.Getwd()
	require.NoError(t, err)
	require.NoError(t, os.Chdir(dir)) // where imports are looked up
	conf := types.Config{Importer: imports}
	pkg, err := conf.Check(dir, fset, files, info)
	require.NoError(t, os.Chdir(wd))
	require.NoError(t, err)
	out := map[string][]string{}
	for id, o := range info.Uses {
		_, method := o.(*types.Func)
		if o.Pkg() != pkg || !method && o.Parent() != pkg.Scope() {
			continue
		}
		from, to := filepath.Base(fset.Position(id.Pos()).Filename), filepath.Base(fset.Position(o.Pos()).Filename)
		if from != to && !slices.Contains(out[from], to) {
			out[from] = append(out[from], to)
		}
	}
	return out
}
