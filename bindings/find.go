package bindings

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Variants lists what libdaguerre can be compiled for, best first. Every variant can compute on the CPU.
var Variants = []string{"cuda", "vulkan", "cpu"}

// envLibrary names the environment variable that holds the path of the library to load.
const envLibrary = "DAGUERRE_LIBRARY"

// libraryVersion is the version of the libraries that belong to these bindings, as CMakeLists.txt has it. In the user's data folder
// each version has a folder of its own.
const libraryVersion = "0.1.0"

// modulePath is how a go.mod is recognised as this module's.
const modulePath = "github.com/daguerre-go/daguerre"

// The places that are searched, in this order.
const (
	sourceOption     = "option"
	sourceEnv        = "$" + envLibrary
	sourceExecutable = "beside the executable"
	sourcePrefix     = "lib/daguerre beside bin"
	sourceBuild      = "build folder"
	sourceData       = "user's data"
	sourceCache      = "user's cache"
	sourceSystem     = "system folder"
)

// systemFolders are where an installation for all users puts libraries. Windows has none.
var systemFolders = map[string][]string{
	"darwin": {"/usr/local/lib/daguerre", "/opt/homebrew/lib/daguerre"},
	"linux":  {"/usr/local/lib/daguerre", "/usr/lib/daguerre"},
}

// Options choose a library. The zero value takes the best that works here.
type Options struct {
	// Path is the library file, or a folder that holds libdaguerre-<variant> files. Where it is set,
	// nothing else is tried. "" means $DAGUERRE_LIBRARY, with the same rule, then the usual places.
	Path string
	// Variant is one of Variants, or "" for any.
	Variant string
}

// candidate is a file that might be the library.
type candidate struct {
	Path    string `json:"path"`
	Variant string `json:"variant"` // "" where the name does not tell
	Source  string `json:"source"`  // which rule of the search order yielded it
}

// fileName returns the library's file name for a variant on this system.
func fileName(variant string) string {
	switch runtime.GOOS {
	case "windows":
		return "daguerre-" + variant + ".dll"
	case "darwin":
		return "libdaguerre-" + variant + ".dylib"
	}
	return "libdaguerre-" + variant + ".so"
}

// Find lists the files [Load] would try for o, in its order, whether they exist or not. It opens
// nothing. o.Path or $DAGUERRE_LIBRARY is the only place where one is set. Else the order is: the
// executable's folder; ../lib/daguerre from there, if that folder is a bin; build/<variant>/ of this
// module's source tree, found by walking up from the executable and then from the working directory;
// daguerre/lib/<version> and daguerre/lib in the user's data folder (see dataDir); daguerre/lib in the user's
// cache folder; the system's folders, such as /usr/local/lib/daguerre. In each place the variants
// come best first, and of the CPU variant's levels that are there the best. $DAGUERRE_CPU_LEVEL chooses one level.
//
// A source tree in the working directory can thus have its library loaded, as `go run` and `go test`
// need; do not run programs inside trees you do not trust.
func Find(o Options) ([]candidate, error) { return hostPlaces().find(o) }

// places is what the search reads of its surroundings.
type places struct {
	getenv     func(string) string
	executable func() (string, error)
	workDir    func() (string, error)
	dataDir    func() (string, error)
	cacheDir   func() (string, error)
	system     []string
	levels     []level // best first
}

func hostPlaces() places {
	return places{
		getenv: os.Getenv,
		executable: func() (string, error) {
			path, err := os.Executable()
			if err != nil {
				return "", err
			}
			return filepath.EvalSymlinks(path)
		},
		workDir:  os.Getwd,
		dataDir:  func() (string, error) { return dataDir(runtime.GOOS, os.Getenv) },
		cacheDir: os.UserCacheDir,
		system:   systemFolders[runtime.GOOS],
		levels:   hostLevels(),
	}
}

// dataDir is the folder of a user's data on a system: $XDG_DATA_HOME or ~/.local/share, on macOS ~/Library/Application Support, on
// Windows %LocalAppData%. A relative $XDG_DATA_HOME is not taken, as its specification says.
func dataDir(system string, getenv func(string) string) (string, error) {
	if system == "windows" {
		if dir := getenv("LocalAppData"); dir != "" {
			return dir, nil
		}
		return "", errors.New("%LocalAppData% is not set")
	}
	if dir := getenv("XDG_DATA_HOME"); system != "darwin" && filepath.IsAbs(dir) {
		return dir, nil
	}
	home := getenv("HOME")
	switch {
	case !filepath.IsAbs(home):
		return "", errors.New("$HOME is not set")
	case system == "darwin":
		return filepath.Join(home, "Library", "Application Support"), nil
	}
	return filepath.Join(home, ".local", "share"), nil
}

func (p places) find(o Options) ([]candidate, error) {
	variants := Variants
	if o.Variant != "" {
		if !slices.Contains(Variants, o.Variant) {
			return nil, fmt.Errorf("bindings: unknown library variant %q; the variants are %s",
				o.Variant, strings.Join(Variants, ", "))
		}
		variants = []string{o.Variant}
	}
	forced, err := p.forcedLevel()
	if err != nil {
		return nil, err
	}
	found := candidates{levels: p.levels, forced: forced}
	if o.Path != "" {
		return found.explicit(o.Path, sourceOption, variants), nil
	}
	if path := p.getenv(envLibrary); path != "" {
		return found.explicit(path, sourceEnv, variants), nil
	}
	executable, err := p.executable()
	if err == nil {
		dir := filepath.Dir(executable)
		found.folder(dir, sourceExecutable, variants)
		// Only beside a bin: of a program in /tmp/x, ../lib would be a folder that anybody may make.
		if filepath.Base(dir) == "bin" {
			found.folder(filepath.Join(filepath.Dir(dir), "lib", "daguerre"), sourcePrefix, variants)
		}
		found.build(dir, variants)
	}
	if dir, err := p.workDir(); err == nil {
		found.build(dir, variants)
	}
	if dir, err := p.dataDir(); err == nil {
		found.folder(filepath.Join(dir, "daguerre", "lib", libraryVersion), sourceData, variants)
		found.folder(filepath.Join(dir, "daguerre", "lib"), sourceData, variants)
	}
	if dir, err := p.cacheDir(); err == nil {
		found.folder(filepath.Join(dir, "daguerre", "lib"), sourceCache, variants)
	}
	for _, dir := range p.system {
		found.folder(dir, sourceSystem, variants)
	}
	return found.list, nil
}

// candidates is a list without repeated paths.
type candidates struct {
	list   []candidate
	levels []level // of CPU libraries, best first
	forced string  // the one level that is taken, or ""
}

// explicit returns the candidates of a path somebody named: the file, or a folder's files.
func (c *candidates) explicit(path, source string, variants []string) []candidate {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		c.folder(path, source, variants)
		return c.list
	}
	// Without a slash the dynamic linker would search its own places instead.
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	variant := ""
	for _, v := range Variants {
		if filepath.Base(path) == fileName(v) {
			variant = v
		}
	}
	if _, ok := levelOf(path, c.levels); ok {
		variant = levelVariant
	}
	return []candidate{{Path: path, Variant: variant, Source: source}}
}

func (c *candidates) add(path, variant, source string) {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	if slices.ContainsFunc(c.list, func(have candidate) bool { return have.Path == path }) {
		return
	}
	c.list = append(c.list, candidate{Path: path, Variant: variant, Source: source})
}

// folder adds a folder's libraries: of each variant the one without a level, which somebody built there, then those of the levels that
// are there, best first. A forced level leaves no other library of that variant.
func (c *candidates) folder(dir, source string, variants []string) {
	for _, v := range variants {
		if v != levelVariant || c.forced == "" {
			c.add(filepath.Join(dir, fileName(v)), v, source)
		}
		if v != levelVariant {
			continue
		}
		for _, l := range c.levels {
			path := filepath.Join(dir, levelFile(l.name))
			if _, err := os.Stat(path); l.name == c.forced || c.forced == "" && err == nil {
				c.add(path, v, source)
			}
		}
	}
}

// build adds the build folder of the module that dir lies in, if it lies in this one.
func (c *candidates) build(dir string, variants []string) {
	root, ok := moduleRoot(dir)
	if !ok {
		return
	}
	for _, v := range variants {
		if v != levelVariant || c.forced == "" {
			c.add(filepath.Join(root, "build", v, fileName(v)), v, sourceBuild)
		}
	}
}

// moduleRoot walks up from dir to a go.mod that declares this module. A go.mod of another module on
// the way does not stop it: tools and examples may have their own.
func moduleRoot(dir string) (string, bool) {
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && declaresModule(string(text)) {
			return dir, true
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false
		}
		dir = parent
	}
}

func declaresModule(goMod string) bool {
	for line := range strings.Lines(goMod) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == "module" {
			return strings.Trim(fields[1], `"`) == modulePath
		}
	}
	return false
}
