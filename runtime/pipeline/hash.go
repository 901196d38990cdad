package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/identity"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/regular"
	"github.com/daguerre-go/daguerre/internal/rename"
)

// ErrNoHash is returned by ModelHash for models that are no single file.
var ErrNoHash = errors.New("the model is no single file, so it has no hash")

// modelHash computes the hash of the model file once, when it is asked for.
type modelHash struct {
	paths []string
	was   identity.ID // of the first path's file, when it was opened; zero: it is a folder
	mu    sync.Mutex
	sum   string
}

// maxHashEntry is larger than a hashEntry with the longest path.
const maxHashEntry = 64 << 10

// hashEntry is one file of the cache of sums.
type hashEntry struct {
	Path    string `json:"path"`
	Size    int64  `json:"size"`
	MTime   int64  `json:"mtime"`   // nanoseconds
	Changed int64  `json:"changed"` // as identity.ID has it
	SHA256  string `json:"sha256"`
}

// KnownHash is HashFile for a file whose sum is in the cache: it reads nothing else. "": the sum is not known.
func KnownHash(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	id, err := identity.Of(path)
	if err != nil {
		return ""
	}
	return cachedHash(hashEntry{Path: path, Size: id.Size, MTime: id.Modified, Changed: id.Changed})
}

// cachedHash reads the cache's sum of a file; "": there is none of the file as it is.
func cachedHash(want hashEntry) string {
	var have hashEntry
	data, err := regular.ReadFile(hashCachePath(want.Path), maxHashEntry)
	if err != nil || json.Unmarshal(data, &have) != nil || len(have.SHA256) != 2*sha256.Size {
		return ""
	}
	if want.SHA256 = have.SHA256; have != want {
		return ""
	}
	return have.SHA256
}

// HashFile returns the SHA-256 of a file through the same cache as ModelHash. A cache that cannot be read or
// written is done without. Cancelling ctx stops it within a few megabytes.
func HashFile(ctx context.Context, path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	id, err := identity.Of(path)
	if err != nil {
		return "", err
	}
	if !st.Mode().IsRegular() {
		return "", fmt.Errorf("%s: %w", path, ErrNoHash)
	}
	want := hashEntry{Path: path, Size: id.Size, MTime: id.Modified, Changed: id.Changed}
	if sum := cachedHash(want); sum != "" {
		return sum, nil
	}
	if want.SHA256, err = modelfile.HashFile(ctx, path, nil); err != nil {
		return "", err
	}
	if err := id.Check(path); err != nil { // it may have changed while it was read
		return "", err
	}
	storeHash(hashCachePath(path), want)
	return want.SHA256, nil
}

// CacheDir is the folder of what is remembered between runs: $DAGUERRE_CACHE, or one of the user's; "" where the user has none.
func CacheDir() string {
	if dir := os.Getenv("DAGUERRE_CACHE"); dir != "" {
		return dir
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(base, "daguerre")
}

// hashCachePath names the cache entry of a file by its path; "" where the user has no cache folder.
func hashCachePath(path string) string {
	dir := CacheDir()
	if dir == "" {
		return ""
	}
	name := sha256.Sum256([]byte(path))
	return filepath.Join(dir, "hashes", hex.EncodeToString(name[:8])+".json")
}

// storeHash writes a cache entry; it appears complete or not at all, and failing is no harm.
func storeHash(cache string, e hashEntry) {
	if data, err := json.Marshal(e); err == nil && cache != "" {
		_ = rename.WriteFile(cache, 0o600, rename.Bytes(data))
	}
}

// loraHashes remembers the sums of adapters' files.
type loraHashes struct {
	mu   sync.Mutex
	sums map[loraFile]adapters.Hashes
}

// loraFile is an adapter's file as it was when it was found.
type loraFile struct {
	path string
	id   identity.ID
}
