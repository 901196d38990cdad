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

// isCode tells whether a path is Go, C or C++ outside tests.
func isCode(path string) bool {
	parts := strings.Split(path, "/")
	for _, folder := range []string{"testdata", "tests", "third_party"} {
		if slices.Contains(parts, folder) {
			return false
		}
	}
	return slices.Contains([]string{".go", ".c", ".cpp", ".h"}, filepath.Ext(path)) && !strings.HasSuffix(path, "_test.go")
}

// tracked returns the files of the working tree that git knows or would add.
func tracked() ([]string, error) {
	out, err := tool.Output(exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"))
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"), nil
}

// width is the number of characters in a line.
func width(line []byte) int { return utf8.RuneCount(bytes.TrimRight(line, "\n")) }

// longFiles prints what is too long, and fails for it where most says how many lines a file of code may have that is not in except.
func longFiles(most int, except []string) error {
	paths, err := tracked()
	if err != nil {
		return err
	}
	found := 0
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if !strings.HasSuffix(path, ".go") && !isCode(path) || errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		n := 0
		for line := range bytes.Lines(text) {
			n++
			if w := width(line); w > columns {
				fmt.Printf("%s:%d: %d columns\n", path, n, w)
				found++
			}
		}
		if n > cmp.Or(most, 400) && isCode(path) && !slices.Contains(except, path) {
			fmt.Printf("%s: %d lines\n", path, n)
			found++
		}
	}
	if most > 0 && found > 0 {
		return fmt.Errorf("%d files of code or lines are too long", found)
	}
	return nil
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

// size prints the lines of code now, and where a revision is given, then and the difference.
func size(since string) error {
	paths, err := tracked()
	if err != nil {
		return err
	}
	now := map[string]*measure{".go": {}, "c++": {}}
	of := func(m map[string]*measure, path string) *measure {
		if strings.HasSuffix(path, ".go") {
			return m[".go"]
		}
		return m["c++"]
	}
	for _, path := range paths {
		if !isCode(path) {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			if errors.Is(err, os.ErrNotExist) { // deleted and not committed
				continue
			}
			return err
		}
		of(now, path).add(text)
	}
	then := map[string]*measure{".go": {}, "c++": {}}
	if since != "" {
		if err := eachFileAt(since, func(path string, text []byte) { of(then, path).add(text) }); err != nil {
			return err
		}
	}
	var sum int
	for _, language := range []string{".go", "c++"} {
		n, t := now[language], then[language]
		fmt.Printf("%s outside tests: %d files, %d lines (%d of 140 columns)", strings.TrimPrefix(language, "."), n.files, n.lines, n.rows)
		if since != "" {
			fmt.Printf("; at %s %d files, %d lines (%d): %+d lines (%+d)", since, t.files, t.lines, t.rows, n.lines-t.lines, n.rows-t.rows)
			sum += n.lines - t.lines
		}
		fmt.Println()
	}
	if since != "" {
		fmt.Printf("together %+d lines\n", sum)
	}
	return nil
}

// eachFileAt calls f for every file of code in a revision.
func eachFileAt(revision string, f func(path string, text []byte)) error {
	out, err := tool.Output(exec.Command("git", "archive", "--format=tar", revision))
	if err != nil {
		return err
	}
	for files := tar.NewReader(bytes.NewReader(out)); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg || !isCode(h.Name) {
			continue
		}
		text, err := io.ReadAll(files)
		if err != nil {
			return err
		}
		f(h.Name, text)
	}
}
