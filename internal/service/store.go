package service

import (
	"context"
	"fmt"
	"math"
	"os"

	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/internal/regular"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Store keeps what is made. It is safe for concurrent use.
type Store interface {
	// Put keeps a whole file under a name, or another one like it where that is taken, and returns where it is. key tells the file from the
	// run's others; see PictureKey.
	Put(ctx context.Context, key, name string, data []byte) (place string, err error)
}

// Resumer is a Store that knows what an earlier part of the same run has kept, so that it is not made again.
type Resumer interface {
	Store
	// Have reports whether a file is there.
	Have(key string) bool
	// Keep keeps data that only the run itself needs, until Drop or the end of the run.
	Keep(key string, data []byte) error
	// Kept returns it.
	Kept(key string) ([]byte, error)
	// Drop removes it.
	Drop(key string)
}

// PictureKey is the key of a picture. The others are those of a job's final latents, and of a picture's part in these.
func PictureKey(job, index int) string { return fmt.Sprintf("%d/%d", job, index) }
func latentsKey(job int) string        { return fmt.Sprintf("%d/latents", job) }
func partKey(job, index int) string    { return fmt.Sprintf("%d/%d/latents", job, index) }

// Made counts the pictures of jobs that are there already.
func Made(s Resumer, jobs []request.Request) (n int) {
	for i, job := range jobs {
		for k := range max(job.NumImages, 1) {
			if s.Have(PictureKey(i, k)) && (job.SaveLatents == "" || s.Have(latentsKey(i)) || s.Have(partKey(i, k))) {
				n++
			}
		}
	}
	return n
}

// Files is a Store of files.
type Files struct{ *output.Writer }

// Put implements Store.
func (f Files) Put(_ context.Context, _, name string, data []byte) (string, error) {
	return f.Write(name, data)
}

// Journaled is a Store of files that are noted in a journal, for a later run to continue.
type Journaled struct {
	*output.Writer
	Journal *output.Journal
}

// Resume takes over what the journal says an earlier run has made: it is not replaced. What that run left half-written in the folders goes
// away.
func (f Journaled) Resume(folders []string) {
	for _, path := range f.Journal.Paths() {
		f.Taken(path)
	}
	f.Journal.Sweep(folders...)
}

// Put implements Store.
func (f Journaled) Put(_ context.Context, key, name string, data []byte) (string, error) {
	return f.WriteNoted(f.Journal, key, name, data)
}

// Have implements Resumer.
func (f Journaled) Have(key string) bool {
	_, ok := f.Journal.Find(key)
	return ok
}

// Keep implements Resumer.
func (f Journaled) Keep(key string, data []byte) error {
	_, err := f.WriteNoted(f.Journal, key, f.Journal.PartPath(key), data)
	return err
}

// Kept implements Resumer.
func (f Journaled) Kept(key string) ([]byte, error) {
	e, ok := f.Journal.Find(key)
	if !ok {
		return nil, os.ErrNotExist
	}
	return regular.ReadFile(e.Path, math.MaxInt64)
}

// Drop implements Resumer.
func (f Journaled) Drop(key string) {
	f.Journal.Drop(key)
}

// put keeps a file and says what it was where that fails.
func put(ctx context.Context, s Store, what, key, name string, data []byte) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	place, err := s.Put(ctx, key, name, data)
	if err != nil {
		err = &StoreError{fmt.Errorf("saving the %s: %w", what, err)}
	}
	return place, err
}
