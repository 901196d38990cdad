// Package bindingstest builds a stand-in for libdaguerre, for the tests of package bindings and of
// those that use it: the whole C ABI, with arithmetic that a test can predict and failures on demand
// (testdata/fake.c says which values ask for what). It needs a C compiler: $CC, or cc on the PATH.
package bindingstest

import (
	"bytes"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

//go:embed testdata/fake.c
var fakeSource string

// Header returns the path of native/include/daguerre.h, found by walking up from the working
// directory, which `go test` sets to the package's folder.
func Header(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		path := filepath.Join(dir, "native", "include", "daguerre.h")
		if _, err := os.Stat(path); err == nil {
			return path
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			tb.Fatal("native/include/daguerre.h was not found above the working directory")
		}
		dir = parent
	}
}

// Fake compiles the stand-in into dir under the given file name and returns its path. defines are
// "NAME=value" for the preprocessor, as `FAKE_VARIANT="vulkan"`.
func Fake(tb testing.TB, dir, name string, defines ...string) string {
	tb.Helper()
	return Shared(tb, dir, name, fakeSource, defines...)
}

// Shared compiles C source text into a shared library in dir and returns its path. Warnings are errors.
func Shared(tb testing.TB, dir, name, source string, defines ...string) string {
	tb.Helper()
	path := filepath.Join(dir, name)
	key := strings.Join(append(defines, source), "\n")
	if library, ok := compiled.Load(key); ok {
		if err := os.WriteFile(path, library.([]byte), 0o755); err != nil {
			tb.Fatal(err)
		}
		return path
	}
	args := []string{"-shared", "-fPIC", "-pthread", "-fvisibility=hidden"}
	Compile(tb, path, source, append(args, flags(defines)...)...)
	library, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	compiled.Store(key, library)
	return path
}

// compiled keeps the libraries of this process, by their source and defines: most tests want the same.
var compiled sync.Map

// Compile compiles C source text to path, as C11 with warnings as errors and the header's folder in the include path. The compiler is
// $CC, which may have arguments, or cc.
func Compile(tb testing.TB, path, source string, args ...string) {
	tb.Helper()
	command := strings.Fields(os.Getenv("CC"))
	if len(command) == 0 {
		command = []string{"cc"}
	}
	cc, err := exec.LookPath(command[0])
	if err != nil {
		tb.Fatalf("these tests compile C with `%s`, which is not on the PATH: install a C compiler (gcc or clang), or set CC", command[0])
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	file := path + ".c"
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		tb.Fatal(err)
	}
	own := []string{"-std=c11", "-Wall", "-Wextra", "-Werror", "-I", filepath.Dir(Header(tb)), "-o", path, file}
	args = slices.Concat(command[1:], own, args)
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		tb.Fatalf("cc: %v\n%s", err, bytes.TrimSpace(out))
	}
}

func flags(defines []string) []string {
	out := make([]string, len(defines))
	for i, d := range defines {
		out[i] = "-D" + d
	}
	return out
}
