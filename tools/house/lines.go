package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// columns is the longest line; a tab counts as one.
const columns = 140

// width is the number of characters in a line.
func width(line []byte) int { return utf8.RuneCount(bytes.TrimRight(line, "\n")) }

// isCode tells whether a path is Go, C or C++ outside tests. A package whose name ends in test is one for tests.
func isCode(path string) bool {
	if strings.HasSuffix(filepath.Dir(path), "test") {
		return false
	}
	for _, folder := range []string{"testdata", "tests", "third_party"} {
		if slices.Contains(strings.Split(path, "/"), folder) {
			return false
		}
	}
	return slices.Contains([]string{".go", ".c", ".cpp", ".h"}, filepath.Ext(path)) && !strings.HasSuffix(path, "_test.go")
}

// eachFile calls f for the files of a revision. Of the working tree, which is "", it is for Go files, tests among them, and other code.
func eachFile(revision string, f func(path string, text []byte)) error {
	args := []string{"archive", "--format=tar", revision}
	if revision == "" {
		args = []string{"ls-files", "-z", "--cached", "--others", "--exclude-standard"}
	}
	out, err := tool.Output(exec.Command("git", args...))
	if err != nil {
		return err
	}
	if revision == "" {
		for path := range strings.SplitSeq(string(out), "\x00") {
			if filepath.Ext(path) != ".go" && !isCode(path) {
				continue
			}
			text, err := os.ReadFile(path)
			if err == nil {
				f(path, text)
			} else if !errors.Is(err, os.ErrNotExist) { // deleted, and not committed
				return err
			}
		}
		return nil
	}
	for files := tar.NewReader(bytes.NewReader(out)); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		text, err := io.ReadAll(files)
		if err != nil {
			return err
		}
		f(h.Name, text)
	}
}

// longFiles prints what is too long. Where most says how many lines a file of code may have that is not in except, it fails for such
// files, and for long lines of C and C++.
func longFiles(most int, except []string) error {
	found := 0
	err := eachFile("", func(path string, text []byte) {
		n := 0
		for line := range bytes.Lines(text) {
			n++
			if w := width(line); w > columns && (most == 0 || filepath.Ext(path) != ".go") { // of Go, the linter knows which can be wrapped
				fmt.Printf("%s:%d: %d columns\n", path, n, w)
				found++
			}
		}
		if n > cmp.Or(most, 400) && isCode(path) && !slices.Contains(except, path) {
			fmt.Printf("%s: %d lines\n", path, n)
			found++
		}
	})
	if most > 0 && found > 0 {
		err = errors.Join(err, fmt.Errorf("%d files of code or lines are too long", found))
	}
	return err
}

// measure is how much code there is.
type measure struct {
	files, lines int
	rows         int // lines, a long one counted as often as 140 columns go into it: wrapping does not change it much
}

func (m *measure) add(text []byte) {
	m.files++
	for line := range bytes.Lines(text) {
		m.lines++
		m.rows += max(1, (width(line)+columns-1)/columns)
	}
}

// size prints how much code there is outside tests, and where a revision is given, how much there was.
func size(since string) error {
	now, err := sizeOf("")
	if err != nil || since == "" {
		return err
	}
	before, err := sizeOf(since)
	fmt.Printf("difference: %+d lines (%+d rows)\n", now.lines-before.lines, now.rows-before.rows)
	return err
}

// sizeOf measures a revision, "" for the working tree, and prints it.
func sizeOf(revision string) (all measure, err error) {
	var goes measure
	err = eachFile(revision, func(path string, text []byte) {
		if isCode(path) {
			all.add(text)
		}
		if isCode(path) && filepath.Ext(path) == ".go" {
			goes.add(text)
		}
	})
	fmt.Printf("%s: Go %d lines in %d files (%d rows of 140 columns), C and C++ %d in %d (%d), outside tests and packages for them\n",
		cmp.Or(revision, "now"), goes.lines, goes.files, goes.rows, all.lines-goes.lines, all.files-goes.files, all.rows-goes.rows)
	return all, err
}
