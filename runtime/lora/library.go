package lora

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Extensions are the endings of the names of adapter files, in the order they are tried.
var Extensions = []string{".safetensors", ".pt", ".pth", ".ckpt", ".bin"}

// Limits of a search through folders, far above any collection.
const (
	maxDepth = 32
	maxFiles = 200_000
)

// Found is a file that may be an adapter, known by its name only.
type Found struct {
	Name    string    `json:"name"` // relative to its folder, without the extension, slashes forward
	Path    string    `json:"path"`
	Size    int64     `json:"size"`
	ModTime time.Time `json:"modified"`
}

// Library finds adapters in folders and below them. What a folder holds is remembered until a folder's modification time
// changes. It may be used from several goroutines.
type Library struct {
	roots []string

	mu    sync.Mutex
	trees map[string]*tree // by root
}

// tree is what one root held when it was walked.
type tree struct {
	files  []Found
	dirs   map[string]time.Time // every folder that was read, and its modification time then
	seen   map[string]bool      // their real paths
	walked time.Time
}

// NewLibrary makes a Library of folders, searched in the given order. Nothing is read yet.
func NewLibrary(dirs ...string) *Library {
	return &Library{roots: slices.Clone(dirs), trees: map[string]*tree{}}
}

// List returns all files with one of the Extensions, folder by folder in their order, each sorted by path. Folders that
// cannot be read are in the error, which matches ErrNotFound where one is missing; the rest is listed all the same.
func (l *Library) List() ([]Found, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Found
	var errs []error
	for _, root := range l.roots {
		t, err := l.tree(root)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, t.files...)
	}
	return all, errors.Join(errs...)
}

// tree returns a root's files, walking it again where a folder changed.
func (l *Library) tree(root string) (*tree, error) {
	old := l.trees[root]
	if old != nil && old.fresh() {
		return old, nil
	}
	t := &tree{dirs: map[string]time.Time{}, seen: map[string]bool{}, walked: time.Now()}
	st, err := os.Stat(root)
	if err != nil {
		kind := ErrNotFound
		if !errors.Is(err, fs.ErrNotExist) {
			kind = ErrFormat
		}
		return nil, &Error{Kind: kind, Adapter: "lora_directories", Field: root, Message: "cannot be read: " + cause(err), Cause: err}
	}
	if !st.IsDir() {
		return nil, &Error{Kind: ErrNotFound, Adapter: "lora_directories", Field: root, Message: "is no folder; name the folder that the adapters are in"}
	}
	t.walk(root, "", 0)
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

// walk reads a folder and those below it, each once, whatever symbolic links lead to it: links cannot make it endless.
func (t *tree) walk(dir, prefix string, depth int) {
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
	for _, e := range append(slices.DeleteFunc(slices.Clone(entries), isLink), slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !isLink(e) })...) {
		path, name := filepath.Join(dir, e.Name()), e.Name()
		if strings.HasPrefix(name, ".") || len(t.files) >= maxFiles || !e.IsDir() && !isLink(e) && !isAdapterName(name) {
			continue
		}
		st, err := os.Stat(path) // follows links
		switch {
		case err != nil:
		case st.IsDir():
			t.walk(path, prefix+name+"/", depth+1)
		case st.Mode().IsRegular() && isAdapterName(name):
			t.files = append(t.files, Found{prefix + strings.TrimSuffix(name, filepath.Ext(name)), path, st.Size(), st.ModTime()})
		}
	}
}

func isAdapterName(name string) bool {
	return slices.Contains(Extensions, strings.ToLower(filepath.Ext(name)))
}

// Resolve finds the file of a name or path: an existing path; the path with each of the Extensions; then, in the folders
// in their order, the exact name, the name in other case, and the beginning of one name only. A name may hold a part of
// its path ("style/ink"); without one it is a file's own. Errors match ErrNotFound and ErrAmbiguous; the latter lists the
// candidates.
func (l *Library) Resolve(name string) (string, error) {
	if name = strings.TrimSpace(name); name == "" {
		return "", &Error{Kind: ErrNotFound, Message: "the adapter's name is empty"}
	}
	if path, err := existing(name); path != "" || err != nil {
		return path, err
	}
	return l.Find(name)
}

// Find is Resolve for names in the folders only: for names that come from prompts, which are not to open any file there is.
func (l *Library) Find(name string) (string, error) {
	files, listErr := l.List()
	base := strings.TrimSuffix(filepath.ToSlash(name), filepath.Ext(name))
	if !isAdapterName(name) {
		base = filepath.ToSlash(name)
	}
	withExtension := base != filepath.ToSlash(name)
	for _, rule := range []func(Found) bool{
		func(f Found) bool { return f.Name == base },
		func(f Found) bool { return ownName(f.Name) == base || Name(f.Path) == base },
		func(f Found) bool { return strings.EqualFold(f.Name, base) },
		func(f Found) bool { return strings.EqualFold(ownName(f.Name), base) },
		func(f Found) bool { return hasPrefixFold(f.Name, base) || hasPrefixFold(ownName(f.Name), base) },
	} {
		var matches []Found
		for _, f := range files {
			if rule(f) && (!withExtension || strings.EqualFold(filepath.Ext(f.Path), filepath.Ext(name))) {
				matches = append(matches, f)
			}
		}
		if path, err := l.choose(name, matches); path != "" || err != nil {
			return path, err
		}
	}
	return "", &Error{Kind: ErrNotFound, Adapter: name, Message: l.notFound(name, files), Cause: listErr}
}

// choose picks the one match, or the one of the first folder and extension if the others are in later folders or have the
// same name with another extension.
func (l *Library) choose(name string, matches []Found) (string, error) {
	if len(matches) == 0 {
		return "", nil
	}
	root := func(f Found) int {
		return slices.IndexFunc(l.roots, func(r string) bool { return strings.HasPrefix(f.Path, filepath.Clean(r)+string(filepath.Separator)) })
	}
	first := matches[0]
	var same []string
	for _, f := range matches {
		if root(f) != root(first) {
			break // folders come in their order
		}
		if f.Name == first.Name {
			if extensionRank(f.Path) < extensionRank(first.Path) {
				first = f
			}
			continue
		}
		same = append(same, f.Path)
	}
	if len(same) == 0 {
		return first.Path, nil
	}
	const most = 10
	candidates := append([]string{first.Path}, same...)
	text := strings.Join(candidates[:min(len(candidates), most)], ", ")
	if len(candidates) > most {
		text += ", ..."
	}
	return "", &Error{Kind: ErrAmbiguous, Adapter: name, Message: group3(len(candidates)) + " files answer to this name; write more of one of " + text}
}

func extensionRank(path string) int {
	return slices.Index(Extensions, strings.ToLower(filepath.Ext(path)))
}

// existing returns name as a path, or with an extension, where there is such a file.
func existing(name string) (string, error) {
	st, err := os.Stat(name)
	if err == nil && !st.IsDir() {
		return name, nil
	}
	if err == nil { // a folder as PEFT and diffusers save one
		for _, file := range []string{"pytorch_lora_weights.safetensors", "adapter_model.safetensors", "adapter_model.bin"} {
			if path := filepath.Join(name, file); regular(path) {
				return path, nil
			}
		}
	}
	for _, ext := range Extensions {
		if regular(name + ext) {
			return name + ext, nil
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && strings.ContainsRune(name, filepath.Separator) {
		return "", &Error{Kind: ErrNotFound, Adapter: name, Message: cause(err), Cause: err}
	}
	return "", nil
}

func regular(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

func ownName(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// cause is an error's text without the operation and path that os puts before it.
func cause(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// notFound says where was looked, and what there is that is called alike.
func (l *Library) notFound(name string, files []Found) string {
	if len(l.roots) == 0 {
		return "no such file, and no lora_directories are set to look in"
	}
	var near []string
	for _, f := range files {
		if strings.Contains(strings.ToLower(f.Name), strings.ToLower(ownName(filepath.ToSlash(name)))) && len(near) < 3 {
			near = append(near, f.Name)
		}
	}
	text := "no such file, and none of the " + group3(len(files)) + " adapters in " + strings.Join(l.roots, ", ") + " is called so"
	if len(near) > 0 {
		text += "; there is " + strings.Join(near, ", ")
	}
	return text
}
