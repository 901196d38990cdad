package hubcache

import (
	"os"
	"path/filepath"
	"regexp"
)

// Wanted is a file of a pulled model, and what it must be.
type Wanted struct {
	File string // in the repository
	Path string
	Want TreeFile // without sums where nothing is known
}

var gitName = regexp.MustCompile(`^[0-9a-f]{40}$`)

// Wanted lists the files of a pulled model with the sums that they must have: those of the revision's listing, or those that their blobs
// are named by.
func (r Roots) Wanted(f Found) ([]Wanted, error) {
	repo := r.repoOf(f.Origin)
	tree, err := repo.Tree(f.Revision)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	files := []string{f.File}
	if f.File == "" {
		files = repo.folderFiles(f.Revision)
	}
	var out []Wanted
	for _, file := range files {
		w := Wanted{File: file, Path: filepath.Join(repo.Snapshot(f.Revision), filepath.FromSlash(file)), Want: tree.Files[file]}
		target, err := os.Readlink(w.Path)
		if base := filepath.Base(target); err == nil && w.Want.Sum() == "" {
			switch {
			case sha256Name.MatchString(base):
				w.Want.SHA256 = base
			case gitName.MatchString(base):
				w.Want.Blob = base
			}
		}
		out = append(out, w)
	}
	return out, nil
}

// folderFiles lists the files of a revision that are no models of their own.
func (r Repo) folderFiles(commit string) (out []string) {
	single := map[string]bool{}
	for _, m := range r.models(commit) {
		single[m.File] = true
	}
	for _, file := range r.FileList(commit) {
		if !single[file] {
			out = append(out, file)
		}
	}
	return out
}
