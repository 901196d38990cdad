// Package modelcard tells in few words what model files are. It reads headers only, and remembers what it read by path, size and time.
package modelcard

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/identity"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/regular"
	"github.com/daguerre-go/daguerre/internal/rename"
	"github.com/daguerre-go/daguerre/internal/words"
)

// Card says what a model file or folder is.
type Card struct {
	Kind   modelfile.Kind   `json:"kind"`
	Type   string           `json:"type,omitempty"`   // the most frequent one of its largest parts: "F16"
	Layout modelfile.Layout `json:"layout,omitempty"` // names of its tensors
	Base   string           `json:"base,omitempty"`   // what a LoRA was trained for, as its file says
	Size   int64            `json:"size"`
	Reason string           `json:"reason,omitempty"` // why it cannot be used, or read
}

// cached is one file of the cache of cards.
type cached struct {
	Format int        `json:"format"`
	Path   string     `json:"path"`
	ID     [3]int64   `json:"id"`
	More   [][3]int64 `json:"more,omitempty"` // of a folder's other files
	Card   Card       `json:"card"`
}

// format is raised when cards are made otherwise.
const format = 1

// maxCached is larger than an entry with the longest path.
const maxCached = 256 << 10

// Of describes a file or folder from its header. cache is the folder that remembers; "": none does. What cannot be read is a card, too,
// with the reason.
func Of(cache, path string) Card {
	path, err := filepath.Abs(path)
	if err != nil {
		return Card{Kind: modelfile.KindUnknown, Reason: err.Error()}
	}
	want := cached{Format: format, Path: path}
	file := path
	if folder := modelfile.IsFolder(path); folder {
		want.More = idsBelow(path)
		file = filepath.Join(path, "model_index.json")
		if _, err := os.Stat(file); err != nil {
			file = filepath.Join(path, "config.json")
		}
	}
	id, err := identity.Of(file)
	if err != nil {
		return Card{Kind: modelfile.KindUnknown, Reason: err.Error()}
	}
	want.ID = [3]int64{id.Size, id.Modified, id.Changed}
	entry := entryPath(cache, path)
	var have cached
	if data, err := regular.ReadFile(entry, maxCached); err == nil && json.Unmarshal(data, &have) == nil {
		if have.Format == format && have.Path == path && have.ID == want.ID && slices.Equal(have.More, want.More) {
			return have.Card
		}
	}
	want.Card = read(path)
	store(entry, want)
	return want.Card
}

// idsBelow are the identities of the weights of a folder.
func idsBelow(path string) (out [][3]int64) {
	folder, err := modelfile.FolderFiles(path)
	if err != nil {
		return nil
	}
	for _, c := range folder.Components {
		for _, file := range append(slices.Clone(c.Files), c.Config) {
			if id, err := identity.Of(file); err == nil {
				out = append(out, [3]int64{id.Size, id.Modified, id.Changed})
			}
		}
	}
	return out
}

func read(path string) Card {
	r, err := modelfile.Inspect(path)
	if err != nil {
		text, _, _ := strings.Cut(err.Error(), "\n")
		return Card{Kind: modelfile.KindUnknown, Reason: words.OneLine(text)}
	}
	c := Card{Kind: r.Kind, Layout: r.Layout, Size: r.Size, Reason: r.Reason}
	byType := map[string]int64{}
	for _, part := range r.Components {
		top, n := "", int64(0)
		for t, count := range part.DTypes {
			if name := fmt.Sprint(t); count > n || count == n && name < top {
				top, n = name, count
			}
		}
		byType[top] += part.Bytes
	}
	for t, n := range byType {
		if most := byType[c.Type]; n > most || n == most && t < c.Type {
			c.Type = t
		}
	}
	if r.Kind == modelfile.KindLoRA || r.Kind == modelfile.KindTextualInversion {
		for _, key := range []string{"modelspec.architecture", "ss_base_model_version", "ss_sd_model_name"} {
			if text := r.Metadata[key]; text != "" && c.Base == "" {
				c.Base = words.Clip(words.OneLine(text))
			}
		}
	} else if r.UNetKind != "" && r.UNetKind != r.Kind {
		c.Base = string(r.UNetKind)
	}
	return c
}

// entryPath names the cache entry of a path.
func entryPath(cache, path string) string {
	if cache == "" {
		return ""
	}
	name := sha256.Sum256([]byte(path))
	return filepath.Join(cache, "headers", hex.EncodeToString(name[:8])+".json")
}

// store writes a cache entry. It appears complete or not at all, and failing is no harm.
func store(entry string, c cached) {
	if data, err := json.Marshal(c); err == nil && entry != "" {
		_ = rename.WriteFile(entry, 0o600, rename.Bytes(data))
	}
}
