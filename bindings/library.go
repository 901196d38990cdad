package bindings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Library is a loaded libdaguerre. It stays loaded to the end of the process and is safe for
// concurrent use.
type Library struct {
	path     string
	info     BuildInfo
	fn       tableFuncs
	attempts []Attempt
	live     atomic.Int64

	logMu    sync.Mutex
	logRoute int64
}

// loaded is the one library of this process.
var loaded struct {
	sync.Mutex
	lib *Library
}

// Load returns the process's library, loading it at the first call: the first file of [Find] that
// works. A file works if it opens, has every symbol, speaks this ABI version, was compiled
// for this CPU and, where it is for GPUs and is one of several to choose from, finds one; if no other works,
// a GPU library without a GPU is taken for its CPU backend. The error is a [*LoadError] if none does.
//
// There is one library per process: a later call returns it, or an error if it asks for another.
// After a failure Load may be called again.
func Load(o Options) (*Library, error) {
	loaded.Lock()
	defer loaded.Unlock()
	if loaded.lib != nil {
		if err := loaded.lib.satisfies(o); err != nil {
			return nil, err
		}
		return loaded.lib, nil
	}
	files, err := Find(o)
	if err != nil {
		return nil, err
	}
	lib, attempts := try(files, o.Variant)
	if lib == nil {
		return nil, &LoadError{Variant: o.Variant, Attempts: attempts}
	}
	loaded.lib = lib
	return lib, nil
}

// OpenFile loads one file and nothing else, beside the library of [Load], if any: for tests, and for
// programs that compare two builds. The error is a [*LoadError] with one attempt.
func OpenFile(path string) (*Library, error) {
	lib, attempts := try(named(path), "")
	if lib == nil {
		return nil, &LoadError{Attempts: attempts}
	}
	return lib, nil
}

// Path returns the file that was loaded.
func (l *Library) Path() string { return l.path }

// Variant returns what the library was compiled for: "cpu", "vulkan" or "cuda".
func (l *Library) Variant() string { return l.info.Variant.String() }

// Level returns the level of instructions that a released CPU library is compiled for, as its file name says, or "".
func (l *Library) Level() string {
	of, _ := levelOf(l.path, hostLevels())
	return of.name
}

// Attempts returns what was tried, ending with this library unless a better one was held back.
func (l *Library) Attempts() []Attempt { return slices.Clone(l.attempts) }

// BuildInfo says what the library is, what it was compiled for and what this CPU offers. The value is
// the caller's.
func (l *Library) BuildInfo() BuildInfo { return l.info }

// LiveHandles returns how many models were opened through l and not closed yet, as counted here.
func (l *Library) LiveHandles() int64 { return l.live.Load() }

// NativeLiveHandles returns the same number as counted by the library.
func (l *Library) NativeLiveHandles() int64 { return l.fn.liveHandles() }

// satisfies returns an error if o asks for another library than l.
func (l *Library) satisfies(o Options) error {
	other := ""
	if o.Variant != "" && o.Variant != l.Variant() {
		other = "variant " + o.Variant
	}
	if o.Path != "" && !slices.ContainsFunc(named(o.Path), func(c candidate) bool {
		return c.Path == l.path || sameFile(c.Path, l.path)
	}) {
		other = o.Path
	}
	if other == "" {
		return nil
	}
	return &Error{Code: ErrUnsupported, Op: "load", Message: fmt.Sprintf(
		"%s was asked for, but %s (variant %s) is loaded already, and a process has one library; start another process",
		other, l.path, l.Variant())}
}

// named returns the candidates of a path.
func named(path string) []candidate {
	files := candidates{levels: hostLevels()}
	return files.explicit(path, sourceOption, Variants)
}

func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// try opens the candidates in order and returns the first that works, with all attempts made.
func try(files []candidate, wanted string) (*Library, []Attempt) {
	var attempts []Attempt
	var spare *Library // a GPU library that works but finds no GPU
	spareAt := -1
	for _, c := range files {
		lib, err := open(c, wanted)
		if err == nil && wanted == "" && len(files) > 1 && !lib.hasGPU() {
			attempts = append(attempts, Attempt{candidate: c, Outcome: "works, but finds no GPU on this machine"})
			if spare == nil {
				spare, spareAt = lib, len(attempts)-1
			}
			continue
		}
		if err != nil {
			attempts = append(attempts, Attempt{candidate: c, Outcome: err.Error()})
			continue
		}
		outcome := "loaded"
		if l := lib.Level(); l != "" {
			outcome += ": level " + l
		}
		attempts = append(attempts, Attempt{candidate: c, Outcome: outcome, OK: true})
		lib.attempts = attempts
		return lib, attempts
	}
	if spare != nil {
		attempts[spareAt].OK = true
		attempts[spareAt].Outcome = "loaded for its CPU backend: no GPU on this machine, and nothing better works"
		spare.attempts = attempts
	}
	return spare, attempts
}

// hasGPU reports whether a library is worth preferring for its variant: the CPU's always, the others
// if they list a device beside the CPU. A failure to list counts as none.
func (l *Library) hasGPU() bool {
	if l.Variant() == "cpu" {
		return true
	}
	devices, err := l.Devices()
	return err == nil && slices.ContainsFunc(devices, func(d deviceInfo) bool { return d.Kind != deviceCPU })
}

// open loads one file and binds it. What it finds wrong is an error in words, fit for an Attempt.
func open(c candidate, wanted string) (*Library, error) {
	if strconv.IntSize != 64 {
		return nil, errors.New("libdaguerre needs a 64-bit platform")
	}
	if err := regular(c.Path); err != nil {
		return nil, err
	}
	if l, ok := levelOf(c.Path, hostLevels()); ok {
		if lacks := l.lacks(); len(lacks) > 0 {
			return nil, fmt.Errorf("this CPU lacks %s of the level %s", strings.Join(lacks, " "), l.name)
		}
	}
	handle, err := dlopen(c.Path)
	if err != nil {
		return nil, fmt.Errorf(openFailed+": %w", err)
	}
	lib := &Library{path: c.Path}
	if err := lib.judge(handle, wanted); err != nil {
		// Nothing but the version and build information was called, so it can be unloaded.
		_ = dlclose(handle)
		return nil, err
	}
	return lib, nil
}

// regular returns an error unless path is a file that can be read.
func regular(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New(outcomeNotFound)
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("not a regular file")
	case info.Size() == 0:
		return errors.New("the file is empty")
	}
	return nil
}

// judge decides whether the opened file can be used, calling as little of it as possible, and binds
// every function.
func (l *Library) judge(handle uintptr, wanted string) error {
	symbols := l.fn.symbols()
	if err := bind(handle, l.path, symbols[:1]); err != nil {
		return err
	}
	if version := l.fn.abiVersion(); version != abiVersion {
		return fmt.Errorf("ABI version %d where %d is wanted; rebuild it with `make`", version, abiVersion)
	}
	if err := bind(handle, l.path, symbols[1:bootFuncs]); err != nil {
		return err
	}
	info := ready(nil, &BuildInfo{})
	err := check("dg_get_build_info", func(msg *byte, size uintptr) int32 { return l.fn.getBuildInfo(info, msg, size) })
	if err != nil {
		return err
	}
	l.info = *info
	if info.CPUSupported == 0 {
		return fmt.Errorf("this CPU lacks %s; rebuild it here with `make`", missing(*info))
	}
	if wanted != "" && wanted != info.Variant.String() {
		return fmt.Errorf("is the %s variant where %s is wanted", info.Variant, wanted)
	}
	return bind(handle, l.path, symbols[bootFuncs:])
}

// missing names the compiled-in features that this CPU does not list.
func missing(info BuildInfo) string {
	have := strings.Fields(info.CPUFeatures.String())
	var lacks []string
	for _, f := range strings.Fields(info.Features.String()) {
		if !slices.Contains(have, f) && f != "llamafile" && f != "portable" && f != "asan" {
			lacks = append(lacks, f)
		}
	}
	if len(lacks) == 0 {
		return "an instruction set that was compiled in"
	}
	return strings.Join(lacks, " ")
}
