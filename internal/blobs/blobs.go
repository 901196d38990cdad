// Package blobs keeps pictures and other files in a folder or in a bucket of a cloud, by the Go Cloud Development Kit. A file is there as a
// whole or not at all, and never changes: its key has the sum of its content.
package blobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/gcerrors"
)

// ErrNotFound is returned for a key that is not there.
var ErrNotFound = errors.New("there is no such file in the store")

// Store keeps files. Its methods may be called from any goroutine.
type Store struct {
	bucket *blob.Bucket
	dir    string        // of a folder; empty: a bucket elsewhere
	retry  time.Duration // for which a write that fails is tried again
}

// retryWrites is for how long writes to a bucket elsewhere are tried again. A picture took longer to compute.
const retryWrites = 2 * time.Minute

// Open opens a folder, which is made where it is missing, or the bucket of a URL such as s3://name?region=eu-central-1.
func Open(ctx context.Context, place string) (*Store, error) {
	u, err := url.Parse(place)
	if err != nil || len(u.Scheme) < 2 { // one letter is a drive
		return openFolder(place)
	}
	if u.Scheme == "file" {
		return openFolder(filepath.FromSlash(u.Path))
	}
	b, err := blob.OpenBucket(ctx, place)
	if err != nil {
		return nil, fmt.Errorf("the store %s: %w; this program knows folders, %s", u.Redacted(), err, strings.Join(Schemes(), ", "))
	}
	return &Store{bucket: b, retry: retryWrites}, nil
}

// Schemes lists the kinds of buckets that this program can use, such as s3://.
func Schemes() (list []string) {
	for _, s := range blob.DefaultURLMux().BucketSchemes() {
		if s != fileblob.Scheme {
			list = append(list, s+"://")
		}
	}
	return list
}

func openFolder(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	b, err := fileblob.OpenBucket(dir, &fileblob.Options{CreateDir: true, DirFileMode: 0o700, NoTempDir: true,
		Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		return nil, fmt.Errorf("the store %s: %w", dir, err)
	}
	return &Store{bucket: b, dir: dir}, nil
}

// Put keeps a file. It is there, also after the machine lost its power, when Put returns.
func (s *Store) Put(ctx context.Context, key string, data []byte) error {
	var err error
	for pause, end := 200*time.Millisecond, time.Now().Add(s.retry); ; pause = min(2*pause, 10*time.Second) {
		if err = s.bucket.WriteAll(ctx, key, data, &blob.WriterOptions{ContentType: contentType(key)}); err == nil {
			return s.sync(key)
		}
		if ctx.Err() != nil || time.Now().Add(pause).After(end) {
			return fmt.Errorf("the store: %w", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// sync has a folder's disk take a file and its name.
func (s *Store) sync(key string) error {
	if s.dir == "" {
		return nil
	}
	file := filepath.Join(s.dir, filepath.FromSlash(key))
	if err := syncFile(file); err != nil {
		return fmt.Errorf("the store: %w", err)
	}
	for dir := filepath.Dir(file); len(dir) >= len(s.dir); dir = filepath.Dir(dir) {
		if err := syncFolder(dir); err != nil {
			return fmt.Errorf("the store: %w", err)
		}
	}
	return nil
}

func syncFile(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0) // Windows syncs no file that is open for reading only
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Get returns a file.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	data, err := s.bucket.ReadAll(ctx, key)
	return data, explain(err)
}

// Read opens a file; size is its length.
func (s *Store) Read(ctx context.Context, key string) (r io.ReadCloser, size int64, err error) {
	b, err := s.bucket.NewReader(ctx, key, nil)
	if err != nil {
		return nil, 0, explain(err)
	}
	return b, b.Size(), nil
}

// Has reports whether a file is there.
func (s *Store) Has(ctx context.Context, key string) (bool, error) {
	ok, err := s.bucket.Exists(ctx, key)
	return ok, explain(err)
}

// List lists the keys that begin with a prefix, sorted. What follows the prefix has no slash.
func (s *Store) List(ctx context.Context, prefix string) (keys []string, err error) {
	if s.dir != "" {
		return s.listFolder(prefix)
	}
	for it := s.bucket.List(&blob.ListOptions{Prefix: prefix, Delimiter: "/"}); ; {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return keys, nil
		}
		if err != nil {
			return keys, explain(err)
		}
		if !o.IsDir {
			keys = append(keys, o.Key)
		}
	}
}

// listFolder is List in a folder. The driver's own reads all folders beside the one that is asked for, lists files that are not finished,
// and fails where one of them goes meanwhile.
func (s *Store) listFolder(prefix string) (keys []string, err error) {
	dir, begin := path.Split(prefix)
	entries, err := os.ReadDir(filepath.Join(s.dir, filepath.FromSlash(dir)))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the store: %w", err)
	}
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasPrefix(e.Name(), begin) && path.Ext(e.Name()) != tempExt {
			keys = append(keys, dir+e.Name())
		}
	}
	return keys, nil
}

// tempExt ends the names of files that the driver has not finished.
const tempExt = ".tmp"

// Delete removes the files whose keys begin with a prefix.
func (s *Store) Delete(ctx context.Context, prefix string) error {
	keys, err := s.List(ctx, prefix)
	for _, key := range keys {
		if e := s.bucket.Delete(ctx, key); e != nil && gcerrors.Code(e) != gcerrors.NotFound {
			err = errors.Join(err, e)
		}
	}
	if s.dir != "" && strings.HasSuffix(prefix, "/") {
		_ = os.Remove(filepath.Join(s.dir, filepath.FromSlash(prefix))) // an empty folder is no harm
	}
	return explain(err)
}

// Ready returns why the store does not answer; nil: it does.
func (s *Store) Ready(ctx context.Context) error {
	ok, err := s.bucket.IsAccessible(ctx)
	if err == nil && !ok {
		err = errors.New("it cannot be reached")
	}
	return explain(err)
}

// Close lets go of the store.
func (s *Store) Close() error { return s.bucket.Close() }

func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case gcerrors.Code(err) == gcerrors.NotFound:
		return ErrNotFound
	}
	return fmt.Errorf("the store: %w", err)
}

func contentType(key string) string {
	switch filepath.Ext(key) {
	case ".png":
		return "image/png"
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".webp":
		return "image/webp"
	case ".json":
		return "application/json"
	}
	return "application/octet-stream"
}
