package hubcache

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelname"
)

// Origin is where a pulled file comes from.
type Origin struct {
	Source     modelname.Source `json:"source"`
	Repository string           `json:"repository"`     // "owner/name", Civitai's model, or an address without what is secret
	Revision   string           `json:"revision"`       // a commit, Civitai's version, or the beginning of the file's sum
	File       string           `json:"file,omitempty"` // in the repository; "" for the folder itself
}

// Found is a pulled model: a file, or the folder of a diffusers model.
type Found struct {
	Origin
	Path   string   `json:"path"`
	Refs   []string `json:"refs,omitempty"`   // branches and tags that were at this revision
	Size   int64    `json:"size"`             // of all its files
	SHA256 string   `json:"sha256,omitempty"` // of a file, as the hub tells it; "" where it is not known
}

// Name is how the model is named, and nothing else that is there.
func (o Origin) Name() string {
	switch o.Source {
	case modelname.Civitai:
		return "civitai:" + o.Repository + "@" + o.Revision
	case modelname.Web:
		return o.Repository
	}
	return o.Repository + "@" + shortRevision(o.Revision) + ":" + cmp.Or(o.File, modelname.Whole)
}

func shortRevision(commit string) string {
	if IsCommit(commit) {
		return commit[:12]
	}
	return commit
}

var sha256Name = regexp.MustCompile(`^[0-9a-f]{64}$`)

// sumOf is the SHA-256 of a file of a revision as its blob or its listing tells it.
func (r Repo) sumOf(commit, file string, t *Tree) string {
	target, err := os.Readlink(filepath.Join(r.Snapshot(commit), filepath.FromSlash(file)))
	if base := filepath.Base(target); err == nil && sha256Name.MatchString(base) {
		return base
	}
	if t != nil {
		return t.Files[file].SHA256
	}
	return ""
}

// models lists what a revision has of models: its folder if that is one, and the files of weights that are no part of it.
func (r Repo) models(commit string) []Found {
	files := r.FileList(commit)
	var tree *Tree
	if t, err := r.Tree(commit); err == nil {
		tree = &t
	}
	var out []Found
	found := func(file, path string) *Found {
		out = append(out, Found{Origin: Origin{r.Source, r.Repository, commit, file}, Path: path})
		return &out[len(out)-1]
	}
	root := r.Snapshot(commit)
	size := func(path string) int64 {
		st, err := os.Stat(path)
		if err != nil {
			return 0
		}
		return st.Size()
	}
	inFolder := map[string]bool{} // parts of the folder
	whole := false
	if modelfile.IsFolder(root) {
		if folder, err := modelfile.FolderFiles(root); err == nil {
			whole = folder.ClassName != ""
			f := found("", root)
			for _, c := range folder.Components {
				for _, path := range c.Files {
					f.Size += size(path)
					if rel, err := filepath.Rel(root, path); err == nil {
						inFolder[filepath.ToSlash(rel)] = true
					}
				}
			}
		}
	}
	for _, file := range files {
		// Below a pipeline's folder lie its components' weights: also those of other variants.
		if !modelname.IsWeights(file) || inFolder[file] || whole && strings.Contains(file, "/") {
			continue
		}
		path := filepath.Join(root, filepath.FromSlash(file))
		f := found(file, path)
		f.Size, f.SHA256 = size(path), r.sumOf(commit, file, tree)
	}
	return out
}

// List lists the pulled models, by repository and revision.
func (r Roots) List() []Found {
	var out []Found
	for _, repo := range r.repos() {
		at := repo.Refs()
		for _, commit := range repo.Revisions() {
			for _, f := range repo.models(commit) {
				f.Refs = at[commit]
				out = append(out, f)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Found) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.Repository), strings.ToLower(b.Repository)), strings.Compare(a.Revision, b.Revision),
			strings.Compare(a.File, b.File))
	})
	return out
}

// OriginOf tells where the file or folder of a path comes from, by the path alone: whether it lies in the layout of this package.
func OriginOf(path string) (Origin, bool) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Origin{}, false
	}
	var inside []string
	for dir := path; ; dir = filepath.Dir(dir) {
		parent := filepath.Dir(dir)
		if parent == dir {
			return Origin{}, false
		}
		if filepath.Base(parent) == snapshots {
			repo := Repo{Root: filepath.Dir(filepath.Dir(parent)), Folder: filepath.Base(filepath.Dir(parent))}
			if repo.named(strings.HasPrefix(repo.Folder, hubPrefix)) {
				slices.Reverse(inside)
				return Origin{repo.Source, repo.Repository, filepath.Base(dir), strings.Join(inside, "/")}, true
			}
		}
		inside = append(inside, filepath.Base(dir))
	}
}
