package hubcache

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/daguerre-go/daguerre/internal/modelname"
	"github.com/daguerre-go/daguerre/internal/rename"
)

// The folders of a repository.
const (
	blobs     = "blobs"
	snapshots = "snapshots"
	refs      = "refs"
	trees     = "trees"
)

// Repo is the folder of a repository.
type Repo struct {
	Root       string
	Folder     string // in Root
	Source     modelname.Source
	Repository string // as a name has it; of an address, the address without what is secret

	noLinks bool
}

// Dir is the repository's folder.
func (r Repo) Dir() string { return filepath.Join(r.Root, r.Folder) }

// Snapshot is the folder of a revision.
func (r Repo) Snapshot(commit string) string { return filepath.Join(r.Dir(), snapshots, commit) }

// Blob is where the bytes with a sum are.
func (r Repo) Blob(sum string) string { return filepath.Join(r.Dir(), blobs, sum) }

// BlobSize is how many bytes the blob of a sum has; -1: it is not there.
func (r Repo) BlobSize(sum string) int64 {
	st, err := os.Stat(r.Blob(sum))
	if err != nil {
		return -1
	}
	return st.Size()
}

// Revisions lists the revisions that are there.
func (r Repo) Revisions() []string {
	entries, _ := os.ReadDir(filepath.Join(r.Dir(), snapshots)) // none where it cannot be read
	var out []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			out = append(out, e.Name())
		}
	}
	return out
}

// mostRef is longer than what a ref holds.
const mostRef = 4096

// Ref reads which revision a branch or tag was at; "" where it is not known.
func (r Repo) Ref(name string) string {
	f, err := os.Open(filepath.Join(r.Dir(), refs, filepath.FromSlash(name)))
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, mostRef))
	commit := strings.TrimSpace(string(text))
	if err != nil || commit == "" || strings.ContainsAny(commit, `/\`) || commit == ".." {
		return ""
	}
	return commit
}

// Refs lists the branches and tags that were pulled, by revision.
func (r Repo) Refs() map[string][]string {
	out := map[string][]string{}
	root := filepath.Join(r.Dir(), refs)
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error { // what cannot be read is no ref
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return nil
		}
		if rel, err := filepath.Rel(root, path); err == nil {
			name := filepath.ToSlash(rel)
			if commit := r.Ref(name); commit != "" {
				out[commit] = append(out[commit], name)
			}
		}
		return nil
	})
	return out
}

// SetRef notes which revision a branch or tag is at. The file appears whole.
func (r Repo) SetRef(name, commit string) error {
	if r.Ref(name) == commit {
		return nil
	}
	return rename.WriteFile(filepath.Join(r.Dir(), refs, filepath.FromSlash(name)), 0o644, rename.Bytes([]byte(commit)))
}

// TreeFile is what a revision says of one of its files.
type TreeFile struct {
	Size   int64  `json:"size"`
	Blob   string `json:"blob_id"` // git's sum of the file, or of its pointer
	SHA256 string `json:"lfs_sha256,omitempty"`
	LFS    int64  `json:"lfs_size,omitempty"`
	Xet    string `json:"xet_hash,omitempty"`
}

// Sum names the file's blob: the SHA-256 where there is one, else git's.
func (f TreeFile) Sum() string {
	if f.SHA256 != "" {
		return f.SHA256
	}
	return f.Blob
}

// Tree is what a revision holds, as huggingface_hub keeps it.
type Tree struct {
	Format int                 `json:"format_version"` // 1
	Source string              `json:"source,omitempty"`
	Files  map[string]TreeFile `json:"files"`
}

// mostTree is the largest listing that is read, in bytes.
const mostTree = 64 << 20

// Tree reads what a revision holds.
func (r Repo) Tree(commit string) (t Tree, err error) {
	f, err := os.Open(filepath.Join(r.Dir(), trees, commit+".json"))
	if err != nil {
		return t, err
	}
	defer f.Close()
	if err = json.NewDecoder(io.LimitReader(f, mostTree)).Decode(&t); err == nil && t.Format != 1 {
		err = fmt.Errorf("a listing in format %d; 1 is known", t.Format)
	}
	return t, err
}

// SetTree notes what a revision holds. What others know of its files stays.
func (r Repo) SetTree(commit string, t Tree) error {
	t.Format = 1
	if have, err := r.Tree(commit); err == nil {
		for name, f := range have.Files {
			if _, ok := t.Files[name]; !ok {
				t.Files[name] = f
			}
		}
	}
	data, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	return rename.WriteFile(filepath.Join(r.Dir(), trees, commit+".json"), 0o644, rename.Bytes(data))
}

var commitHash = regexp.MustCompile(`^[0-9a-f]{40}$`)

// IsCommit reports whether a revision is a whole commit hash.
func IsCommit(revision string) bool { return commitHash.MatchString(revision) }

// lockEvery is how often a lock that another process has is tried.
const lockEvery = 200 * time.Millisecond

// WholeRepo is the sum in whose place Lock locks a repository: pulls and removals of this program wait for each other.
const WholeRepo = "daguerre"

// Lock waits until no other program writes the blob of a sum. huggingface_hub takes the same lock.
func (r Repo) Lock(ctx context.Context, sum string, waiting func()) (unlock func(), err error) {
	path := filepath.Join(r.Root, ".locks", r.Folder, sum+".lock")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	l := flock.New(path)
	got, err := l.TryLock()
	if err == nil && !got {
		waiting()
		_, err = l.TryLockContext(ctx, lockEvery)
	}
	switch {
	case ctx.Err() != nil:
		_ = l.Unlock() // nothing was done under it
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	}
	return func() { _ = l.Unlock() }, nil // the process's end unlocks it, too
}

// FileList lists the files of a revision that are there, with slashes.
func (r Repo) FileList(commit string) []string {
	var out []string
	root := r.Snapshot(commit)
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error { // what cannot be read is not there
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") && strings.HasSuffix(d.Name(), ".new") {
			return nil
		}
		if st, err := os.Stat(path); err != nil || !st.Mode().IsRegular() {
			return nil // a link to nothing
		}
		if rel, err := filepath.Rel(root, path); err == nil {
			out = append(out, filepath.ToSlash(rel))
		}
		return nil
	})
	slices.Sort(out)
	return out
}
