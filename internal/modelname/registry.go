package modelname

import (
	"bytes"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/BurntSushi/toml"

	"github.com/daguerre-go/daguerre/internal/regular"
	"github.com/daguerre-go/daguerre/internal/words"
)

// Entry is a well-known model.
type Entry struct {
	Name    string `toml:"-" json:"name"`
	About   string `toml:"about" json:"about,omitempty"`
	Kind    string `toml:"kind" json:"kind,omitempty"` // of package modelfile; "" where it is not known there
	Model   string `toml:"model" json:"model"`         // a name as Parse reads it
	Variant string `toml:"variant" json:"variant,omitempty"`
	Size    int64  `toml:"size" json:"size,omitempty"` // in bytes; 0: not publicly known
	SHA256  string `toml:"sha256" json:"sha256,omitempty"`
	Pickle  bool   `toml:"pickle" json:"pickle,omitempty"` // a pickle that is taken, since its sum is known
	Own     bool   `toml:"-" json:"own,omitempty"`         // of the user's list
}

// EnvList names the environment variable with the user's list of names.
const EnvList = "DAGUERRE_MODELS"

//go:embed models.toml
var builtIn []byte

// Registry is a list of well-known models.
type Registry struct {
	entries map[string]Entry
	path    string // of the user's list
}

var shortName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// Entries returns all entries, sorted by name.
func (r *Registry) Entries() []Entry {
	var out []Entry
	for _, name := range slices.Sorted(maps.Keys(r.entries)) {
		out = append(out, r.entries[name])
	}
	return out
}

// Names returns all short names, sorted.
func (r *Registry) Names() []string { return slices.Sorted(maps.Keys(r.entries)) }

// Lookup finds the entry of a short name.
func (r *Registry) Lookup(name string) (Entry, bool) {
	e, ok := r.entries[name]
	return e, ok
}

// ByHash finds the entry of a sum, or of the beginning of one as AUTOMATIC1111 writes it (10 digits at least).
func (r *Registry) ByHash(sum string) (Entry, bool) {
	sum = strings.ToLower(sum)
	for _, e := range r.Entries() {
		if len(sum) >= 10 && strings.HasPrefix(e.SHA256, sum) {
			return e, true
		}
	}
	return Entry{}, false
}

// Parse reads a name: a short one, or what package function Parse reads. Unknown short names are errors that name the nearest.
func (r *Registry) Parse(text string) (Name, error) {
	e, ok := r.entries[text]
	if !ok {
		n, err := Parse(text)
		if err != nil && !strings.ContainsAny(text, "/:@") {
			return n, wrong(text, "no model is called so%s; daguerre models list --known lists the short names",
				words.DidYouMean(text, r.Names()))
		}
		return n, err
	}
	n, err := Parse(e.Model)
	n.Text, n.Variant, n.Entry = text, e.Variant, &e
	return n, err
}

// check refuses an entry that cannot be meant.
func (e Entry) check() error {
	if !shortName.MatchString(e.Name) {
		return errors.New("a short name has lower-case letters, digits, \"-\", \"_\" and \".\", and at most 64 of them")
	}
	if e.Name == "nano" {
		return errors.New("this name stands for the model that is part of the program")
	}
	if _, err := Parse(e.Model); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	if raw, err := hex.DecodeString(e.SHA256); e.SHA256 != "" && (err != nil || len(raw) != 32 || e.SHA256 != strings.ToLower(e.SHA256)) {
		return errors.New("sha256 has 64 hexadecimal digits in lower case")
	}
	if e.Size < 0 {
		return errors.New("size is the number of bytes")
	}
	if e.Pickle && e.SHA256 == "" {
		return errors.New("pickle = true needs the sha256")
	}
	return nil
}

// add reads a list.
func (r *Registry) add(text []byte, own bool) error {
	var list map[string]Entry
	meta, err := toml.NewDecoder(bytes.NewReader(text)).Decode(&list)
	if err != nil {
		return err
	}
	if left := meta.Undecoded(); len(left) > 0 {
		return fmt.Errorf("%s: unknown key%s", left[0], words.DidYouMean(left[0][len(left[0])-1],
			[]string{"about", "kind", "model", "variant", "size", "sha256", "pickle"}))
	}
	for name, e := range list {
		e.Name, e.Own = name, own
		if err := e.check(); err != nil {
			return fmt.Errorf("[%s]: %w", name, err)
		}
		r.entries[name] = e
	}
	return nil
}

// BuiltIn is the list that is part of the program.
var BuiltIn = sync.OnceValue(func() *Registry {
	r := &Registry{entries: map[string]Entry{}}
	if err := r.add(builtIn, false); err != nil {
		panic(err) // a test reads it
	}
	return r
})

// maxList is the largest list of names that is read, in bytes.
const maxList = 1 << 20

// ListPath is the user's list: $DAGUERRE_MODELS, or models.toml beside the user's own defaults; "" where the system tells no folder.
func ListPath() string {
	if path := os.Getenv(EnvList); path != "" {
		return path
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "daguerre", "models.toml")
}

// Load reads the built-in list and the user's. An entry of the user's replaces a built-in one of the same name.
func Load() (*Registry, error) {
	r := &Registry{entries: maps.Clone(BuiltIn().entries), path: ListPath()}
	if r.path == "" {
		return r, nil
	}
	text, err := regular.ReadFile(r.path, maxList)
	if errors.Is(err, fs.ErrNotExist) && os.Getenv(EnvList) == "" {
		return r, nil
	}
	if err == nil {
		if err = r.add(text, true); err != nil {
			err = fmt.Errorf("%s: %w", r.path, err)
		}
	}
	if err != nil {
		return BuiltIn(), fmt.Errorf("your list of models' names: %w", err)
	}
	return r, nil
}
