// Package phrases reads the texts that prompts are made of besides themselves: wildcards, styles, and files of prompts.
package phrases

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/daguerre-go/daguerre/internal/words"
)

// maxBytes bounds a file of phrases.
const maxBytes = 16 << 20

// Wildcards finds wildcards in folders: the lines of text files, by their names below the folder without .txt. It is safe for concurrent
// use, and reads a file once.
type Wildcards struct {
	directories []string

	mu    sync.Mutex
	lines map[string][]string // by path
	names map[string]string   // paths by the wildcards' names; nil before the folders were looked through
}

// NewWildcards makes Wildcards of folders, of which the first that has a name counts.
func NewWildcards(directories ...string) *Wildcards {
	return &Wildcards{directories: slices.Clone(directories), lines: map[string][]string{}}
}

// Lines returns the lines of a wildcard, or of all those whose names a pattern with * fits.
func (w *Wildcards) Lines(name string) (lines []string, err error) {
	paths, err := w.paths(name)
	if err != nil {
		return nil, err
	}
	for _, p := range paths {
		some, err := w.read(p)
		if err != nil {
			return nil, err
		}
		lines = append(lines, some...)
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("the wildcard __%s__ has no lines (%s)", name, strings.Join(paths, ", "))
	}
	return lines, nil
}

// Files lists the files that were read so far.
func (w *Wildcards) Files() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]string, 0, len(w.lines))
	for p := range w.lines {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// paths finds the files of a wildcard.
func (w *Wildcards) paths(name string) (out []string, err error) {
	if len(w.directories) == 0 {
		return nil, fmt.Errorf("__%s__ is a wildcard, and no folder of wildcards is given; name one as wildcard_directories in [model] "+
			`(--wildcard-dir), or write \__%s__ for the text`, name, name)
	}
	names, err := w.list()
	if err != nil {
		return nil, err
	}
	if p, ok := names[name]; ok {
		return []string{p}, nil
	}
	all := make([]string, 0, len(names))
	for n, p := range names {
		all = append(all, n)
		if fits, _ := path.Match(name, n); fits {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		slices.Sort(all)
		return nil, fmt.Errorf("there is no wildcard %s%s: no file %s.txt in %s", name, words.DidYouMean(name, all), name,
			strings.Join(w.directories, ", "))
	}
	slices.Sort(out)
	return out, nil
}

// list looks through the folders, once.
func (w *Wildcards) list() (map[string]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.names != nil {
		return w.names, nil
	}
	names := map[string]string{}
	for _, dir := range w.directories {
		err := fs.WalkDir(os.DirFS(dir), ".", func(p string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if name, ok := strings.CutSuffix(p, ".txt"); ok && e.Type().IsRegular() && names[name] == "" {
				names[name] = filepath.Join(dir, filepath.FromSlash(p))
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("folder of wildcards %s: %w", dir, cause(err))
		}
	}
	w.names = names
	return names, nil
}

// cause is an error without the path that the caller names.
func cause(err error) error {
	var own *fs.PathError
	if errors.As(err, &own) {
		return own.Err
	}
	return err
}

// read reads a file's lines, without comments and empty ones.
func (w *Wildcards) read(p string) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if lines, ok := w.lines[p]; ok {
		return lines, nil
	}
	lines, err := Lines(p)
	if err == nil {
		w.lines[p] = lines
	}
	return lines, err
}

// Lines reads a text file's lines. Those that are empty or begin with # are left out.
func Lines(p string) (lines []string, err error) {
	data, err := readFile(p)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(words.WithoutBOM(data))) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

func readFile(p string) ([]byte, error) {
	f, err := open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err == nil && len(data) > maxBytes {
		err = fmt.Errorf("%s: a file of phrases has at most %d MiB; this one is larger", p, maxBytes>>20)
	}
	return data, err
}
