package pipeline

import (
	"path/filepath"
	"strings"

	"github.com/daguerre-go/daguerre/internal/hubcache"
	"github.com/daguerre-go/daguerre/internal/models"
)

// Source is where a file comes from that was fetched by name: its repository, the revision, and the file in it.
type Source = hubcache.Origin

// ModelName is what a model is called in manifests: its file's or folder's name without path and extension, or its repository's.
func ModelName(path string) string {
	if o, ok := hubcache.OriginOf(path); ok && o.File == "" { // the folder itself is called by a commit
		return o.Repository[strings.LastIndexByte(o.Repository, '/')+1:]
	}
	return models.Name(path)
}

// SourceOf tells where a file comes from that was fetched by name; nil: it was not.
func SourceOf(path string) *Source {
	if path == "" {
		return nil
	}
	o, ok := hubcache.OriginOf(path)
	if !ok {
		return nil
	}
	return &o
}

// inputName names an input file without its path, which is nobody else's business.
func inputName(path string, given bool) string {
	if path == "" && given {
		return "(in memory)"
	}
	if path == "" {
		return ""
	}
	return filepath.Base(path)
}
