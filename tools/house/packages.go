package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// module begins every import path of this repository.
const module = "github.com/daguerre-go/daguerre/"

// pack is a package as `go list` tells it, with paths inside the module.
type pack struct {
	ImportPath, Name, Dir string
	GoFiles, Imports      []string
	libraries             []string // imports of other modules
}

// list returns the module's packages that have code besides tests.
func list() ([]pack, error) {
	out, err := tool.Output(exec.Command("go", "list", "-json=ImportPath,Name,Dir,GoFiles,Imports", module+"..."))
	if err != nil {
		return nil, err
	}
	var packages []pack
	for lines := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pack
		if err := lines.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, err
		}
		if len(p.GoFiles) == 0 {
			continue
		}
		p.ImportPath = strings.TrimPrefix(p.ImportPath, module)
		var inside []string
		for _, i := range p.Imports {
			if path, ok := strings.CutPrefix(i, module); ok {
				inside = append(inside, path)
			} else if first, _, _ := strings.Cut(i, "/"); strings.Contains(first, ".") {
				p.libraries = append(p.libraries, i)
			}
		}
		p.Imports = inside
		packages = append(packages, p)
	}
}

// public tells whether programs outside this module can import a package.
func (p pack) public() bool {
	return p.Name != "main" && !slices.Contains(strings.Split(p.ImportPath, "/"), "internal")
}

// exported counts the exported names of public packages. Methods and fields belong to their type.
func exported(packages []pack, show bool, most int) error {
	names, sum := map[string]int{}, 0
	for _, p := range packages {
		if !p.public() {
			continue
		}
		for _, file := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			names[p.ImportPath] += exportedIn(f)
		}
		sum += names[p.ImportPath]
	}
	if show {
		byCount := func(a, b string) int { return cmp.Or(names[b]-names[a], strings.Compare(a, b)) }
		for _, path := range slices.SortedFunc(maps.Keys(names), byCount) {
			fmt.Printf("%5d %s\n", names[path], path)
		}
	}
	fmt.Printf("%5d names are exported outside internal/\n", sum)
	if most > 0 && sum > most {
		return fmt.Errorf("%d names are exported outside internal/, and %d are allowed; `go run ./tools/house` lists the packages", sum, most)
	}
	return nil
}

// exportedIn counts a file's exported constants, variables, types and functions.
func exportedIn(f *ast.File) (n int) {
	count := func(names ...*ast.Ident) {
		for _, name := range names {
			if name.IsExported() {
				n++
			}
		}
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				count(d.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					count(s.Name)
				case *ast.ValueSpec:
					count(s.Names...)
				}
			}
		}
	}
	return n
}
