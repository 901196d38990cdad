package hubcache

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelname"
)

// Remove deletes a pulled model: its names, and the blobs that nothing else names. Folders that are empty then go, too.
func (r Roots) Remove(ctx context.Context, f Found) (freed int64, err error) {
	repo := r.repoOf(f.Origin)
	unlock, err := repo.Lock(ctx, WholeRepo, func() {})
	if err != nil {
		return 0, err
	}
	defer unlock()
	var gone []string
	if f.File == "" { // the folder, with all that belongs to it
		gone = repo.folderFiles(f.Revision)
	} else {
		gone = []string{f.File}
	}
	for _, file := range gone {
		n, err := repo.unname(f.Revision, file)
		freed += n
		if err != nil {
			return freed, err
		}
	}
	n, err := repo.sweep(f.Revision)
	return freed + n, err
}

// repoOf is the repository of a pulled model.
func (r Roots) repoOf(o Origin) Repo {
	n := modelname.Name{Source: o.Source, Repository: o.Repository, Revision: o.Revision}
	if o.Source == modelname.Web {
		n.URL = o.Repository
	}
	return r.Repo(n)
}

// unname takes a file out of a revision.
func (r Repo) unname(commit, file string) (freed int64, err error) {
	path := filepath.Join(r.Snapshot(commit), filepath.FromSlash(file))
	if st, err := os.Lstat(path); err == nil && st.Mode().IsRegular() {
		freed = st.Size()
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	return freed, nil
}

// sweep removes what nothing names any more: blobs, empty folders, refs and listings of a revision that is gone, the repository itself.
func (r Repo) sweep(commit string) (freed int64, err error) {
	removeEmpty(r.Snapshot(commit))
	if _, err := os.Stat(r.Snapshot(commit)); errors.Is(err, fs.ErrNotExist) {
		for _, ref := range r.Refs()[commit] {
			if err := os.Remove(filepath.Join(r.Dir(), refs, filepath.FromSlash(ref))); err != nil {
				return 0, err
			}
		}
		if err := os.Remove(filepath.Join(r.Dir(), trees, commit+".json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	revisions, used := r.Revisions(), map[string]bool{}
	for _, rev := range revisions {
		for _, file := range r.FileList(rev) {
			if target, err := os.Readlink(filepath.Join(r.Snapshot(rev), filepath.FromSlash(file))); err == nil {
				used[filepath.Base(target)] = true
			}
		}
	}
	entries, err := os.ReadDir(filepath.Join(r.Dir(), blobs))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	for _, e := range entries {
		name, _, isPart := strings.Cut(e.Name(), ".")
		if used[e.Name()] || isPart && name != "" && len(revisions) > 0 {
			continue // a part may be one that another process fetches
		}
		if st, err := e.Info(); err == nil {
			freed += st.Size()
		}
		if err := os.Remove(r.Blob(e.Name())); err != nil {
			return freed, err
		}
	}
	if len(revisions) == 0 {
		return freed, os.RemoveAll(r.Dir())
	}
	return freed, nil
}

// removeEmpty removes a folder and those in it that hold nothing.
func removeEmpty(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			removeEmpty(filepath.Join(dir, e.Name()))
		}
	}
	_ = os.Remove(dir) // it stays if something is in it
}

// Related lists the other pulled models of the same repository.
func (r Roots) Related(f Found) []Found {
	return slices.DeleteFunc(r.List(), func(other Found) bool {
		return other.Source != f.Source || other.Repository != f.Repository || other.Path == f.Path
	})
}
