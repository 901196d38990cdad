package install

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/daguerre-go/daguerre/internal/download"
	"github.com/daguerre-go/daguerre/internal/rename"
)

// The names in the folder of all versions' libraries. They begin with a dot, so that none is a version.
const (
	lockName    = ".lock"
	partsName   = ".download"
	stagePrefix = ".new-"
	oldPrefix   = ".old-"
)

// lockEvery is how often a lock that another process has is tried.
const lockEvery = 200 * time.Millisecond

// root is the folder of all versions' libraries.
func (in *installation) root() string { return filepath.Dir(in.dir) }

func (in *installation) partsDir() string { return filepath.Join(in.root(), partsName) }

// lock waits until no other process installs.
func (in *installation) lock(ctx context.Context) (unlock func(), err error) {
	return lockFolder(ctx, in.root(), func() { in.note("another process is installing; waiting for it") })
}

func lockFolder(ctx context.Context, root string, waiting func()) (unlock func(), err error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, failed(ErrWrite, "the folder for libraries cannot be made: %w; XDG_DATA_HOME can name another data folder", err)
	}
	l := flock.New(filepath.Join(root, lockName))
	got, err := l.TryLock()
	if err == nil && !got {
		waiting()
		got, err = l.TryLockContext(ctx, lockEvery)
	}
	switch {
	case ctx.Err() != nil:
		if got {
			_ = l.Unlock() // nothing was done under it
		}
		return nil, ctx.Err()
	case err != nil:
		return nil, failed(ErrWrite, "the folder for libraries cannot be written to: %w; XDG_DATA_HOME can name another data folder", err)
	}
	return func() { _ = l.Unlock() }, nil // the process's end unlocks it, too
}

// staged is what was unpacked and is not in place yet.
type staged struct {
	dir   string
	files []string
}

func (s *staged) remove() { _ = os.RemoveAll(s.dir) } // a later installation removes what stays

// stage unpacks an archive into a folder beside the one where its library will be.
func (in *installation) stage(ctx context.Context, archive string) (*staged, error) {
	sweep(in.root())
	dir, err := os.MkdirTemp(in.root(), stagePrefix)
	if err != nil {
		return nil, download.NoRoom(err, 0)
	}
	s := &staged{dir: dir}
	into, err := os.OpenRoot(dir)
	if err != nil {
		s.remove()
		return nil, err
	}
	defer into.Close()
	if s.files, err = unpack(ctx, archive, into, in.limits, in.progress); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

// place moves staged files into the folder of this version, the licences first. Each takes the place of an older one in one step. Files of
// the same variants that the archive does not have are removed: the loader might take them before the new ones.
func (in *installation) place(s *staged) ([]string, error) {
	var files, variants []string
	for _, licence := range []bool{true, false} {
		for _, name := range s.files {
			if strings.HasPrefix(name, licences+"/") != licence {
				continue
			}
			to := filepath.Join(in.dir, filepath.FromSlash(name))
			err := os.MkdirAll(filepath.Dir(to), 0o755)
			if err == nil {
				err = in.move(filepath.Join(s.dir, filepath.FromSlash(name)), to)
			}
			if err != nil {
				return nil, download.NoRoom(err, 0)
			}
			files, variants = append(files, to), append(variants, libraryVariant(name))
		}
	}
	entries, err := os.ReadDir(in.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if v := libraryVariant(e.Name()); v != "" && slices.Contains(variants, v) && !slices.Contains(s.files, e.Name()) {
			_ = in.aside(filepath.Join(in.dir, e.Name())) // it stays where a system does not let it go
		}
	}
	return files, nil
}

// move gives a file its name. Where a system does not replace a library that is in use, the old one is put aside.
func (in *installation) move(from, to string) error {
	if os.Rename(from, to) == nil {
		return nil
	}
	_ = in.aside(to) // if it stays, Replace says why
	return rename.Replace(from, to)
}

// aside takes a file away: it is renamed, since Windows lets a library that is in use be renamed but not removed, and removed if that goes.
func (in *installation) aside(file string) error {
	old := filepath.Join(in.root(), fmt.Sprintf("%s%d-%s", oldPrefix, time.Now().UnixNano(), filepath.Base(file)))
	if err := os.Rename(file, old); err != nil {
		return err
	}
	_ = os.Remove(old) // sweep does it later
	return nil
}

// sweep removes what killed installations left.
func sweep(root string) {
	for _, prefix := range []string{stagePrefix, oldPrefix} {
		left, _ := filepath.Glob(filepath.Join(root, prefix+"*")) // the pattern is well-formed
		for _, p := range left {
			_ = os.RemoveAll(p) // what is in use stays for the next time
		}
	}
}
