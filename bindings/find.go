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

// modulePath is how a go.mod is recognised as this module's.
const modulePath = "github.com/daguerre-go/daguerre"

// The places that are searched, in this order.
const (
	sourceOption     = "option"
	sourceEnv        = "$" + envLibrary
	sourceExecutable = "beside the executable"
	sourceBuild      = "build folder"
	sourceCache      = "user's cache"
)

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
	extension := ".so"
	if runtime.GOOS == "darwin" {
		extension = ".dylib"
	}
	return "libdaguerre-" + variant + extension
}

// Find lists the files [Load] would try for o, in its order, whether they exist or not. It opens
// nothing. The order is: o.Path or $DAGUERRE_LIBRARY, and nothing else where one is set; the
// executable's folder; build/<variant>/ of this module's source tree, found by walking up from the
// executable and then from the working directory; daguerre/lib in the user's cache folder. In each
// place the variants come best first.
//
// A source tree in the working directory can thus have its library loaded, as `go run` and `go test`
// need; do not run programs inside trees you do not trust.
func Find(o Options) ([]candidate, error) { return hostPlaces().find(o) }

// places is what the search reads of its surroundings.
type places struct {
	getenv     func(string) string
	executable func() (string, error)
	workDir    func() (string, error)
	cacheDir   func() (string, error)
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
		cacheDir: os.UserCacheDir,
	}
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
	if o.Path != "" {
		return explicit(o.Path, sourceOption, variants), nil
	}
	if path := p.getenv(envLibrary); path != "" {
		return explicit(path, sourceEnv, variants), nil
	}
	var found candidates
	executable, err := p.executable()
	if err == nil {
		found.folder(filepath.Dir(executable), sourceExecutable, variants)
		found.build(filepath.Dir(executable), variants)
	}
	if dir, err := p.workDir(); err == nil {
		found.build(dir, variants)
	}
	if dir, err := p.cacheDir(); err == nil {
		found.folder(filepath.Join(dir, "daguerre", "lib"), sourceCache, variants)
	}
	return found, nil
}

// explicit returns the candidates of a path somebody named: the file, or a folder's files.
func explicit(path, source string, variants []string) []candidate {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		var found candidates
		found.folder(path, source, variants)
		return found
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
	return []candidate{{Path: path, Variant: variant, Source: source}}
}

// candidates is a list without repeated paths.
type candidates []candidate

func (c *candidates) add(path, variant, source string) {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	if slices.ContainsFunc(*c, func(have candidate) bool { return have.Path == path }) {
		return
	}
	*c = append(*c, candidate{Path: path, Variant: variant, Source: source})
}

func (c *candidates) folder(dir, source string, variants []string) {
	for _, v := range variants {
		c.add(filepath.Join(dir, fileName(v)), v, source)
	}
}

// build adds the build folder of the module that dir lies in, if it lies in this one.
func (c *candidates) build(dir string, variants []string) {
	root, ok := moduleRoot(dir)
	if !ok {
		return
	}
	for _, v := range variants {
		c.add(filepath.Join(root, "build", v, fileName(v)), v, sourceBuild)
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

// Attempt is one file that was tried and what came of it.
type Attempt struct {
	candidate
	Outcome string `json:"outcome"` // in words: "loaded", "not found", "dlopen failed: ..."
	OK      bool   `json:"ok"`      // this one is in use
}

// String returns the attempt as one line.
func (a Attempt) String() string {
	return fmt.Sprintf("%s (%s): %s", a.Path, a.Source, a.Outcome)
}

// ErrNoLibrary is what errors.Is finds in a [LoadError].
var ErrNoLibrary = errors.New("no usable libdaguerre")

// LoadError says that no library works here, with every attempt.
type LoadError struct {
	Variant  string // the variant that was asked for, or ""
	Attempts []Attempt
}

// Error lists the attempts that found a file, or the places if none did, and the remedy.
func (e *LoadError) Error() string {
	var b strings.Builder
	b.WriteString(ErrNoLibrary.Error())
	if e.Variant != "" {
		fmt.Fprintf(&b, " of variant %s", e.Variant)
	}
	b.WriteString("; tried:")
	for _, a := range e.Attempts {
		b.WriteString("\n  " + a.String())
	}
	target := "make"
	if e.Variant != "" && e.Variant != "cpu" {
		target = "make " + e.Variant
	}
	fmt.Fprintf(&b, "\nBuild it with `%s` in the source tree, or set %s to its path.", target, envLibrary)
	return b.String()
}

// Is reports whether target is [ErrNoLibrary].
func (e *LoadError) Is(target error) bool { return target == ErrNoLibrary }
