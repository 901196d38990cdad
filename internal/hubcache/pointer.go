package hubcache

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/daguerre-go/daguerre/internal/rename"
)

// linkable remembers which folders' file systems have symbolic links.
var linkable sync.Map

// Links reports whether the repository's files are links to blobs.
func (r Repo) Links() bool {
	if r.noLinks {
		return false
	}
	if yes, ok := linkable.Load(r.Root); ok {
		return yes.(bool)
	}
	if os.MkdirAll(r.Root, 0o755) != nil {
		return true // writing will say why
	}
	dir, err := os.MkdirTemp(r.Root, ".links-")
	if err != nil {
		return true
	}
	defer os.RemoveAll(dir)
	yes := os.Symlink("target", filepath.Join(dir, "link")) == nil
	linkable.Store(r.Root, yes)
	return yes
}

// Has reports whether a file of a revision is there, with that size.
func (r Repo) Has(commit, file string, size int64) bool {
	st, err := os.Stat(filepath.Join(r.Snapshot(commit), filepath.FromSlash(file)))
	return err == nil && st.Mode().IsRegular() && (size == 0 || st.Size() == size)
}

// Point gives the blob of a sum a name in a revision. Without symbolic links the blob moves there. The name appears in one step.
func (r Repo) Point(commit, file, sum string) error {
	blob, name := r.Blob(sum), filepath.Join(r.Snapshot(commit), filepath.FromSlash(file))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if !r.Links() {
		return rename.Replace(blob, name)
	}
	rel, err := filepath.Rel(filepath.Dir(name), blob)
	if err != nil {
		return err
	}
	tmp := filepath.Join(filepath.Dir(name), fmt.Sprintf(".%s.%d.new", filepath.Base(name), os.Getpid()))
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(rel, tmp); err != nil {
		return err
	}
	if err := rename.Replace(tmp, name); err != nil {
		_ = os.Remove(tmp)
		return err
	}
	return nil
}

// Same makes the blob of a sum of the same file in another revision, as far as there is one. Without links each revision has its own copy.
func (r Repo) Same(sum string, size int64) bool {
	for _, commit := range r.Revisions() {
		t, err := r.Tree(commit)
		if err != nil {
			continue
		}
		for file, f := range t.Files {
			if f.Sum() != sum || !r.Has(commit, file, size) {
				continue
			}
			if copyFile(filepath.Join(r.Snapshot(commit), filepath.FromSlash(file)), r.Blob(sum)) == nil {
				return true
			}
		}
	}
	return false
}

// copyFile makes a file a second time: as a second name of the same bytes, or as a copy.
func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if st, err := os.Lstat(from); err == nil && st.Mode().IsRegular() && os.Link(from, to) == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return rename.WriteFile(to, 0o600, func(out io.Writer) error {
		_, err := io.Copy(out, in)
		return err
	})
}
