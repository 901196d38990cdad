package hubcache

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelname"
)

// Roots are the folders of the two caches.
type Roots struct {
	Hub string // of huggingface_hub
	Own string // of models from elsewhere
	// NoSymlinks writes files where links would be, as on file systems without symbolic links.
	NoSymlinks bool
}

// FromEnv returns the roots that the environment tells: HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME and XDG_DATA_HOME, as huggingface_hub reads
// them.
func FromEnv() Roots {
	r := Roots{NoSymlinks: isTrue(os.Getenv("HF_HUB_DISABLE_SYMLINKS"))}
	hub := cmp.Or(os.Getenv("HF_HUB_CACHE"), os.Getenv("HUGGINGFACE_HUB_CACHE"))
	if home := Home(); hub == "" && home != "" {
		hub = filepath.Join(home, "hub")
	}
	r.Hub = expand(hub)
	if data := dataDir(); data != "" {
		r.Own = filepath.Join(data, "daguerre", "models")
	}
	return r
}

// Home is the folder of Hugging Face's programs, $HF_HOME; "": there is none.
func Home() string {
	if home := os.Getenv("HF_HOME"); home != "" {
		return expand(home)
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(expand(dir), "huggingface")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".cache", "huggingface")
}

// Offline reports whether HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE forbid connections.
func Offline() bool {
	return isTrue(cmp.Or(os.Getenv("HF_HUB_OFFLINE"), os.Getenv("TRANSFORMERS_OFFLINE")))
}

// isTrue reads a switch as huggingface_hub does.
func isTrue(s string) bool {
	switch strings.ToUpper(s) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}

// expand replaces ~ and variables, as huggingface_hub does.
func expand(path string) string {
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || rest[0] == '/' || rest[0] == filepath.Separator) {
		if home, err := os.UserHomeDir(); err == nil {
			path = home + rest
		}
	}
	return os.ExpandEnv(path)
}

// dataDir is the user's folder of data; "": there is none.
func dataDir() string {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return dir
	}
	if runtime.GOOS == "windows" {
		return os.Getenv("LOCALAPPDATA")
	}
	home, err := os.UserHomeDir()
	switch {
	case err != nil:
		return ""
	case runtime.GOOS == "darwin":
		return filepath.Join(home, "Library", "Application Support")
	}
	return filepath.Join(home, ".local", "share")
}

// The beginnings of the names of repositories' folders.
const (
	hubPrefix     = "models--"
	civitaiPrefix = "civitai--"
	webPrefix     = "url--"
)

// Repo returns the repository of a name. It need not be there. Of a Civitai version whose model is not named, the folder is looked for.
func (r Roots) Repo(n modelname.Name) Repo {
	repo := Repo{Source: n.Source, Repository: n.Repository, Root: r.Own, noLinks: r.NoSymlinks}
	switch n.Source {
	case modelname.Civitai:
		if n.Repository == "" {
			if have, _ := filepath.Glob(filepath.Join(r.Own, civitaiPrefix+"*", snapshots, n.Revision)); len(have) > 0 {
				repo.Repository = strings.TrimPrefix(filepath.Base(filepath.Dir(filepath.Dir(have[0]))), civitaiPrefix)
			}
		}
		repo.Folder = civitaiPrefix + repo.Repository
	case modelname.Web:
		repo.Repository = modelname.PlainURL(n.URL)
		sum := sha256.Sum256([]byte(repo.Repository))
		host := "host"
		if u, err := url.Parse(n.URL); err == nil {
			host = strings.ReplaceAll(u.Hostname(), ":", "-")
		}
		repo.Folder = webPrefix + host + "--" + hex.EncodeToString(sum[:8])
	default:
		repo.Root, repo.Folder = r.Hub, hubPrefix+strings.ReplaceAll(n.Repository, "/", "--")
	}
	return repo
}

// repos lists the repositories that are there.
func (r Roots) repos() []Repo {
	var out []Repo
	for _, root := range []string{r.Hub, r.Own} {
		entries, err := os.ReadDir(root)
		if err != nil {
			continue // nothing was pulled
		}
		for _, e := range entries {
			repo := Repo{Root: root, Folder: e.Name(), noLinks: r.NoSymlinks}
			if e.IsDir() && repo.named(root == r.Hub) {
				out = append(out, repo)
			}
		}
	}
	return out
}

// named reads the repository's name off its folder's.
func (r *Repo) named(hub bool) bool {
	if rest, ok := strings.CutPrefix(r.Folder, hubPrefix); ok && hub {
		r.Source, r.Repository = modelname.HuggingFace, strings.Replace(rest, "--", "/", 1)
		return true
	}
	if rest, ok := strings.CutPrefix(r.Folder, civitaiPrefix); ok {
		r.Source, r.Repository = modelname.Civitai, rest
		return true
	}
	if strings.HasPrefix(r.Folder, webPrefix) {
		r.Source = modelname.Web
		for _, commit := range r.Revisions() {
			if t, err := r.Tree(commit); err == nil {
				r.Repository = t.Source
			}
		}
		return r.Repository != ""
	}
	return false
}
