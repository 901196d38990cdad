package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// kinds are the changes that are counted, and the most files that each may touch. A component is a part of the model with its own file key.
var kinds = map[string]int{"scheduler": 3, "preprocessor": 2, "algorithm": 3, "component": 12}

// touch prints the files of one KIND=CHANGE; it fails where they are more than the kind may have.
func touch(arg string) error {
	name, change, _ := strings.Cut(arg, "=")
	most, ok := kinds[name]
	if !ok || change == "" {
		return fmt.Errorf("%q is not of the form KIND=RANGE|PATCH", arg)
	}
	files, err := touched(change)
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(slices.Clone(files), counts)
	code := slices.DeleteFunc(files, func(f string) bool { return !counts(f) })
	fmt.Printf("%s: %d of at most %d files\n", name, len(code), most)
	for _, f := range code {
		fmt.Println("  " + f)
	}
	for _, f := range others {
		fmt.Printf("  (%s)\n", f)
	}
	switch {
	case len(code) == 0:
		return fmt.Errorf("%s: %s touches no code", name, change)
	case len(code) > most:
		return fmt.Errorf("%s touches %d files, and %d are allowed", name, len(code), most)
	}
	return nil
}

// touched returns the files of a patch or a range of commits, sorted. Of a file that moved it has both names.
func touched(change string) ([]string, error) {
	patch, err := os.ReadFile(change)
	if errors.Is(err, os.ErrNotExist) {
		patch, err = tool.Output(exec.Command("git", "diff", "--no-renames", change, "--"))
	}
	return filesOf(patch), err
}

var fileLine = regexp.MustCompile(`(?m)^diff --git a/(.*) b/(.*)$`)

// filesOf reads the names in the "diff --git a/X b/X" lines of a patch: binary files and changes of mode have no other.
func filesOf(patch []byte) (files []string) {
	for _, names := range fileLine.FindAllStringSubmatch(string(patch), -1) {
		files = append(files, names[1:]...)
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// counts tells whether a file is code that somebody writes: no test, nothing that tests read, no documentation, nothing measured.
func counts(path string) bool {
	parts := strings.Split(path, "/")
	if filepath.Base(path) == "characteristics.json" {
		return false // measured: tools/schedbench writes it
	}
	for _, folder := range []string{"testdata", "tests", "docs", "goldens"} {
		if slices.Contains(parts, folder) {
			return false
		}
	}
	return !strings.HasSuffix(path, "_test.go") && filepath.Ext(path) != ".md"
}
