// Package library finds files by name in folders: adapters, ControlNets, embeddings. A name may lack the extension, be written in other
// case, or be the beginning of one file's name only.
package library

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/daguerre-go/daguerre/internal/words"
)

// The classes of failure, for errors.Is.
var (
	ErrNotFound   = errors.New("no such file")                     // or no such folder
	ErrAmbiguous  = errors.New("several files answer to the name") // Error.Candidates lists them
	ErrUnreadable = errors.New("cannot be read")
)

// Error says which name failed, and what there is.
type Error struct {
	Kind       error  // one of the sentinels above
	Name       string // that was looked for; of a folder with its setting
	Message    string
	Candidates []string // paths that a name may mean, or names that are like it
	Cause      error    // an underlying error, or nil
}

// Error formats as "name: message".
func (e *Error) Error() string {
	if e.Name == "" {
		return e.Message
	}
	return e.Name + ": " + e.Message
}

// Unwrap lets errors.Is match the kind as well as the cause.
func (e *Error) Unwrap() []error { return []error{e.Kind, e.Cause} }

// Options say what a Library holds.
type Options struct {
	Directories []string // in the order they are searched
	Setting     string   // what names the folders in a run file: "lora_directories"
	What        string   // what the files are called in errors: "adapters"

	Extensions []string               // of files, in the order of preference, in lower case; nil: any
	Inside     []string               // files that are called like the folder they are in, in the order of preference
	Folder     func(path string) bool // reports folders that stand for a file; nil: none does
	Flat       bool                   // folders below the folders are left out
	First      bool                   // of several files with a name the first counts, by path; else they are ErrAmbiguous

	// Also finds files elsewhere, by names that are no paths; nil: there are none. Resolve asks it, and Find does not. An error that matches
	// ErrNotFound says what would help.
	Also func(name string) (path string, err error)
}

// Library finds files. What a folder holds is remembered until its modification time changes. It may be used from several goroutines.
type Library struct {
	options Options

	mu    sync.Mutex
	trees map[string]*tree // by folder
}

// New makes a Library. Nothing is read yet.
func New(o Options) *Library {
	o.Directories = slices.Clone(o.Directories)
	return &Library{options: o, trees: map[string]*tree{}}
}

// Directories returns the folders that are searched.
func (l *Library) Directories() []string { return slices.Clone(l.options.Directories) }

// List returns all files, folder by folder in their order, each sorted by path. Folders that cannot be read are in the error, which
// matches ErrNotFound where one is missing; the rest is listed all the same.
func (l *Library) List() ([]Found, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Found
	var errs []error
	for i, root := range l.options.Directories {
		t, err := l.tree(root)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, f := range t.files {
			f.root = i
			all = append(all, f)
		}
	}
	return all, errors.Join(errs...)
}

// Resolve finds the file of a path or name: an existing path; the path with each of the Extensions; then what Find finds. Errors match
// ErrNotFound and ErrAmbiguous.
func (l *Library) Resolve(name string) (string, error) {
	if name = strings.TrimSpace(name); name == "" {
		return "", &Error{Kind: ErrNotFound, Message: "the name is empty"}
	}
	path, err := l.existing(name)
	if err != nil {
		return "", err
	}
	if l.options.Also == nil {
		if path != "" {
			return path, nil
		}
		return l.Find(name)
	}
	also, alsoErr := l.options.Also(name)
	if alsoErr != nil && !errors.Is(alsoErr, ErrNotFound) {
		return "", alsoErr
	}
	if path == "" {
		path, err = l.Find(name)
	}
	switch {
	case also == "" && alsoErr != nil && errors.Is(err, ErrNotFound):
		return "", alsoErr
	case also == "":
		return path, err
	case errors.Is(err, ErrNotFound):
		return also, nil
	case err != nil || sameFile(path, also):
		return path, err
	}
	return "", &Error{Kind: ErrAmbiguous, Name: name, Candidates: []string{path, also},
		Message: fmt.Sprintf("2 files answer to this name: %s, and %s, which was fetched; write the path of the one that you mean", path, also)}
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// existing returns name as a path, or with an extension, where there is such a file.
func (l *Library) existing(name string) (string, error) {
	st, err := os.Stat(name)
	if err == nil && (!st.IsDir() || l.isEntry(name)) {
		return name, nil
	}
	var tries []string
	if err == nil {
		for _, file := range l.options.Inside {
			tries = append(tries, filepath.Join(name, file))
		}
	}
	for _, ext := range l.options.Extensions {
		tries = append(tries, name+ext)
	}
	for _, path := range tries {
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
			return path, nil
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && strings.ContainsRune(name, filepath.Separator) {
		return "", &Error{Kind: ErrNotFound, Name: name, Message: cause(err), Cause: err}
	}
	return "", nil
}

// Find is Resolve for names in the folders only. Names that come from prompts are looked up so, since they must not open any file there
// is. These rules are tried in turn: the exact name, the name in other case, the beginning of one file's name. A name may hold a part of
// the path ("style/ink"); without one it is a file's own.
func (l *Library) Find(name string) (string, error) {
	files, listErr := l.List()
	wanted := filepath.ToSlash(name)
	equal := func(a, b string) bool { return a == b }
	for _, rule := range []func(Found) bool{
		func(f Found) bool { return f.is(wanted, equal) },
		func(f Found) bool { return l.ownIs(f, wanted, equal) },
		func(f Found) bool { return f.is(wanted, strings.EqualFold) },
		func(f Found) bool { return l.ownIs(f, wanted, strings.EqualFold) },
	} {
		if path, err := l.choose(name, files, rule, l.options.First); path != "" || err != nil {
			return path, err
		}
	}
	half := func(f Found) bool { return hasPrefixFold(f.Name, wanted) || hasPrefixFold(ownName(f.Name), wanted) }
	if path, err := l.choose(name, files, half, false); path != "" || err != nil {
		return path, err
	}
	return "", l.notFound(name, files, listErr)
}

// choose picks the one file that a rule matches. Files in later folders do not count beside one in the first, nor does the same name with
// an extension that comes later. first takes the first of what is left then.
func (l *Library) choose(name string, files []Found, rule func(Found) bool, first bool) (string, error) {
	var matches []Found
	for _, f := range files {
		if rule(f) && (len(matches) == 0 || f.root == matches[0].root) {
			matches = append(matches, f)
		}
	}
	if len(matches) == 0 {
		return "", nil
	}
	best := matches[0]
	candidates := []string{""}
	for _, f := range matches[1:] {
		if f.Name != best.Name {
			candidates = append(candidates, f.Path)
		} else if l.rank(f) < l.rank(best) {
			best = f
		}
	}
	if candidates[0] = best.Path; first || len(candidates) == 1 {
		return best.Path, nil
	}
	const most = 10
	text := strings.Join(candidates[:min(len(candidates), most)], ", ")
	if len(candidates) > most {
		text += ", ..."
	}
	return "", &Error{Kind: ErrAmbiguous, Name: name, Candidates: candidates,
		Message: fmt.Sprintf("%d files answer to this name; write more of one of %s", len(candidates), text)}
}

// rank is the place of a file's extension in the order of preference.
func (l *Library) rank(f Found) int {
	return slices.Index(l.options.Extensions, strings.ToLower(filepath.Ext(f.Path)))
}

// notFound says where was looked, and what there is that is called alike.
func (l *Library) notFound(name string, files []Found, cause error) error {
	e := &Error{Kind: ErrNotFound, Name: name, Cause: cause}
	if len(l.options.Directories) == 0 {
		e.Message = "no such file, and " + l.options.Setting + " names no folder to look in"
		return e
	}
	for _, f := range files {
		if strings.Contains(strings.ToLower(f.Name), strings.ToLower(ownName(filepath.ToSlash(name)))) && len(e.Candidates) < 3 {
			e.Candidates = append(e.Candidates, f.Name)
		}
	}
	e.Message = fmt.Sprintf("no such file, and none of the %d %s in %s is called so", len(files), l.options.What,
		strings.Join(l.options.Directories, ", "))
	if len(e.Candidates) > 0 {
		e.Message += "; there is " + strings.Join(e.Candidates, ", ")
		return e
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name, ownName(f.Name))
	}
	if near := words.Nearest(ownName(filepath.ToSlash(name)), names); near != "" {
		e.Candidates = []string{near}
		e.Message += fmt.Sprintf("; did you mean %s?", words.Quote(near))
	}
	return e
}

// cause is an error's text without the operation and path that os puts before it.
func cause(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
