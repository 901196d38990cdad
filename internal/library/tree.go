package library

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Limits of a search through folders, far above any collection.
const (
	maxDepth = 32
	maxFiles = 200_000
)

// Found is a file that a Library lists. Nothing but its name is known to be right.
type Found struct {
	Name    string    `json:"name"` // relative to its folder, without the extension, slashes forward
	Path    string    `json:"path"`
	Size    int64     `json:"size"`
	ModTime time.Time `json:"modified"`

	root int    // index of its folder
	ext  string // that Name lacks
}

// is compares a file's name, with or without its extension.
func (f Found) is(name string, same func(a, b string) bool) bool {
	return same(f.Name, name) || same(f.Name+f.ext, name)
}

// ownIs is Found.is without the folders before the name. A file of Options.Inside is called like its folder, too.
func (l *Library) ownIs(f Found, name string, same func(a, b string) bool) bool {
	own := Found{Name: ownName(f.Name), ext: f.ext}
	return own.is(name, same) || slices.Contains(l.options.Inside, filepath.Base(f.Path)) && same(filepath.Base(filepath.Dir(f.Path)), name)
}

func ownName(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// tree is what one folder held when it was walked.
type tree struct {
	files  []Found
	dirs   map[string]time.Time // every folder that was read, and its modification time then
	seen   map[string]bool      // their real paths
	walked time.Time
}

// tree returns a folder's files, walking it again where something changed.
func (l *Library) tree(root string) (*tree, error) {
	if old := l.trees[root]; old != nil && old.fresh() {
		return old, nil
	}
	t := &tree{dirs: map[string]time.Time{}, seen: map[string]bool{}, walked: time.Now()}
	name := l.options.Setting + ": " + root
	st, err := os.Stat(root)
	if err != nil {
		kind := ErrNotFound
		if !errors.Is(err, fs.ErrNotExist) {
			kind = ErrUnreadable
		}
		return nil, &Error{Kind: kind, Name: name, Message: "cannot be read: " + cause(err), Cause: err}
	}
	if !st.IsDir() {
		return nil, &Error{Kind: ErrNotFound, Name: name, Message: "is no folder; name the folder that the " + l.options.What + " are in"}
	}
	l.walk(t, root, "", 0)
	slices.SortFunc(t.files, func(a, b Found) int { return strings.Compare(a.Path, b.Path) })
	l.trees[root] = t
	return t, nil
}

// racy is how long after a change a folder's modification time cannot tell it from a second one.
const racy = 2 * time.Second

// fresh reports whether no folder changed since the walk.
func (t *tree) fresh() bool {
	for dir, at := range t.dirs {
		if st, err := os.Stat(dir); err != nil || !st.ModTime().Equal(at) || t.walked.Sub(at) < racy {
			return false
		}
	}
	return true
}

// walk reads a folder and those below it. It reads each once, whatever symbolic links lead to it: links cannot make it endless.
func (l *Library) walk(t *tree, dir, prefix string, depth int) {
	resolved, err := filepath.EvalSymlinks(dir)
	if err != nil || t.seen[resolved] || depth > maxDepth {
		return
	}
	t.seen[resolved] = true
	if st, err := os.Stat(dir); err == nil {
		t.dirs[dir] = st.ModTime() // before reading: a change in between is seen next time
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	isLink := func(e fs.DirEntry) bool { return e.Type()&fs.ModeSymlink != 0 }
	slices.SortStableFunc(entries, func(a, b fs.DirEntry) int { // links last: a folder is called by its own name
		switch {
		case isLink(a) == isLink(b):
			return 0
		case isLink(b):
			return -1
		}
		return 1
	})
	for _, e := range entries {
		path, name := filepath.Join(dir, e.Name()), e.Name()
		if strings.HasPrefix(name, ".") || len(t.files) >= maxFiles || !e.IsDir() && !isLink(e) && !l.named(name) {
			continue
		}
		st, err := os.Stat(path) // follows links
		switch {
		case err != nil:
		case st.IsDir():
			if l.isEntry(path) {
				t.files = append(t.files, Found{Name: prefix + name, Path: path, ModTime: st.ModTime()})
			}
			if !l.options.Flat {
				l.walk(t, path, prefix+name+"/", depth+1)
			}
		case st.Mode().IsRegular() && l.named(name):
			ext := filepath.Ext(name)
			t.files = append(t.files, Found{Name: prefix + strings.TrimSuffix(name, ext), Path: path, Size: st.Size(),
				ModTime: st.ModTime(), ext: ext})
		}
	}
}

// isEntry reports whether a folder stands for a file.
func (l *Library) isEntry(path string) bool { return l.options.Folder != nil && l.options.Folder(path) }

// named reports whether a file's name has one of the extensions.
func (l *Library) named(name string) bool {
	return l.options.Extensions == nil || slices.Contains(l.options.Extensions, strings.ToLower(filepath.Ext(name)))
}
