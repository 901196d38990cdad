package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/internal/regular"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// How much of a file is read for its sum: the header and the first weights, and the last ones. Adapters of one training differ in all of
// their weights.
const (
	beginning = 1 << 20
	ending    = 64 << 10
)

// sums remembers the sums of files until these change.
type sums struct {
	mu   sync.Mutex
	list map[string]summed // by path
}

// summed is the sum of a file as it was.
type summed struct {
	size int64
	at   time.Time // of its last change
	sum  string
}

// known are the sums of all catalogs of the process: reading models and folders again reads no file again.
var known = &sums{list: map[string]summed{}}

// of tells a file from others, by its size, beginning and end; a folder by all files in it. Empty: it is neither.
func (s *sums) of(path string) string {
	if sum := s.file(path); sum != "" {
		return sum
	}
	all, n := sha256.New(), 0
	_ = filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error { // what cannot be read is left out
		if err != nil || d.IsDir() {
			return nil
		}
		if sum := s.file(at); sum != "" {
			name, _ := filepath.Rel(path, at)
			fmt.Fprintf(all, "%q %s ", filepath.ToSlash(name), sum)
			n++
		}
		return nil
	})
	if n == 0 {
		return ""
	}
	return hex.EncodeToString(all.Sum(nil)[:8])
}

// file is of for a file; empty: it is none.
func (s *sums) file(path string) string {
	f, info, err := regular.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // it was only read
	s.mu.Lock()
	last, ok := s.list[path]
	s.mu.Unlock()
	if ok && last.size == info.Size() && last.at.Equal(info.ModTime()) {
		return last.sum
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%d ", info.Size())
	if _, err := io.CopyN(sum, f, min(beginning, info.Size())); err != nil {
		return ""
	}
	if at := max(info.Size()-ending, beginning); at < info.Size() {
		if _, err := io.Copy(sum, io.NewSectionReader(f, at, info.Size()-at)); err != nil {
			return ""
		}
	}
	text := hex.EncodeToString(sum.Sum(nil)[:8])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list[path] = summed{info.Size(), info.ModTime(), text}
	return text
}

// model tells what a model is made of from others: the files and folders that its table names. Folders with files that runs name are not
// among them.
func (s *sums) model(m request.Model) string {
	var parts []string
	v := reflect.ValueOf(m)
	for i := range v.NumField() {
		key := v.Type().Field(i).Tag.Get("key")
		if strings.HasSuffix(key, "_directories") && key != "wildcard_directories" {
			continue
		}
		var paths []string
		switch field := v.Field(i); {
		case field.Kind() == reflect.String:
			paths = []string{field.String()}
		case field.Type() == reflect.TypeFor[[]string]():
			paths = field.Interface().([]string)
		}
		for _, path := range paths {
			if path == "" {
				continue
			}
			if sum := s.of(path); sum != "" {
				parts = append(parts, key+" "+sum)
			}
		}
	}
	if len(parts) == 0 {
		return "" // it is part of the program
	}
	slices.Sort(parts)
	all := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(all[:8])
}
