// Package weightcache looks after the folder of converted weights that libdaguerre writes and maps: its limit, what is listed and what is
// removed. Only the library knows what is in the files.
package weightcache

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/internal/disk"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// DefaultBytes is the folder's limit where nothing is said: some models in some types.
const DefaultBytes int64 = 16 << 30

const (
	leastBytes = 64 << 20       // less is converted in a moment
	spareDisk  = 4 << 30        // of the disk, that is left free
	staleAfter = 24 * time.Hour // no file is written for so long

	ending   = ".weights"
	used     = ".used" // of an empty file beside each, which was changed when that was used
	partial  = ".part" // of files that are being written
	leastKey = "DAGUERRE_WEIGHT_CACHE_LEAST"
)

// File is one file of the folder.
type File struct {
	Path      string    `json:"path"`
	Component string    `json:"component"`
	Bytes     int64     `json:"bytes"`
	Used      time.Time `json:"used"`
	Partial   bool      `json:"partial,omitempty"` // it is being written, or its writer has died
}

// Folder is where the files are, below the folder of what is remembered between runs.
func Folder(cacheDir string) string {
	if cacheDir == "" {
		return ""
	}
	return filepath.Join(cacheDir, "weights")
}

// List tells of the files of a folder, those that were used last first. A folder that is not there is empty.
func List(folder string) ([]File, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []File
	for _, e := range entries {
		info, err := e.Info()
		name := e.Name()
		if err != nil || !info.Mode().IsRegular() || !strings.Contains(name, ending) || strings.HasSuffix(name, used) {
			continue
		}
		f := File{Path: filepath.Join(folder, name), Bytes: info.Size(), Used: info.ModTime(), Partial: strings.HasSuffix(name, partial)}
		f.Component, _, _ = strings.Cut(name, "-")
		if mark, err := os.Stat(f.Path + used); err == nil && mark.ModTime().After(f.Used) {
			f.Used = mark.ModTime()
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b File) int { return cmp.Or(b.Used.Compare(a.Used), cmp.Compare(a.Path, b.Path)) })
	return files, nil
}

// Remove deletes a file. Programs that have it mapped keep it until they end.
func Remove(f File) error {
	err := os.Remove(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		_ = os.Remove(f.Path + used) // it matters to nobody any more
	}
	return err
}

// Trim deletes files until the folder holds at most limit bytes: those that were not used for longest, and what a writer has left behind.
// It returns what is left.
func Trim(folder string, limit int64, now time.Time) (left int64, err error) {
	files, err := List(folder)
	var errs []error
	for _, f := range files {
		stale := f.Partial && now.Sub(f.Used) > staleAfter
		if !stale && left+f.Bytes <= limit {
			left += f.Bytes
			continue
		}
		if f.Partial && !stale { // somebody is writing it
			left += f.Bytes
			continue
		}
		errs = append(errs, Remove(f))
	}
	return left, errors.Join(append(errs, err)...)
}

// Open makes the folder ready for a model: it is made, and brought below its limit. Where that cannot be, nothing is written, and what is
// there is still used. limit is in bytes; 0 means DefaultBytes, and negative that there is no cache.
func Open(ctx context.Context, folder string, limit int64) backend.WeightCache {
	if folder == "" || limit < 0 || ctx.Err() != nil {
		return backend.WeightCache{}
	}
	limit = cmp.Or(limit, DefaultBytes)
	out := backend.WeightCache{Folder: folder, LeastBytes: least(), MostBytes: -1}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return out
	}
	_, err := Trim(folder, limit, time.Now())
	free, freeErr := disk.Free(folder)
	if err != nil || freeErr != nil {
		return out
	}
	// A new file may take the place of all others: they are trimmed when the next model is opened.
	out.MostBytes = max(min(limit, free-spareDisk), -1)
	return out
}

// least is how much a component must convert to be kept. Tests set another number.
func least() int64 {
	if n, err := strconv.ParseInt(os.Getenv(leastKey), 10, 64); err == nil && n >= 0 {
		return n
	}
	return leastBytes
}
