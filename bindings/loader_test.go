package bindings

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/bindings/bindingstest"
)

// elsewhere is a machine with nothing on it but what a test puts into root.
func elsewhere(root string) places {
	return places{
		getenv:     func(string) string { return "" },
		executable: func() (string, error) { return filepath.Join(root, "bin", "daguerre"), nil },
		workDir:    func() (string, error) { return filepath.Join(root, "work", "deep"), nil },
		dataDir:    func() (string, error) { return filepath.Join(root, "data"), nil },
		cacheDir:   func() (string, error) { return filepath.Join(root, "cache"), nil },
		system:     []string{filepath.Join(root, "usr", "lib", "daguerre")},
	}
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

func paths(files []candidate) []string {
	out := make([]string, len(files))
	for i, c := range files {
		out[i] = c.Path
	}
	return out
}

func TestFindOrder(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "work", "go.mod"), "// a comment\nmodule "+modulePath+" // and another\n")
	write(t, filepath.Join(root, "work", "deep", "go.mod"), "module example.com/tool\n")
	found, err := elsewhere(root).find(Options{})
	require.NoError(t, err)
	var want []candidate
	for _, place := range []struct{ dir, source string }{
		{"bin", sourceExecutable}, {"lib/daguerre", sourcePrefix}, {"work/build/%", sourceBuild},
		{"data/daguerre/lib/" + libraryVersion, sourceData}, {"data/daguerre/lib", sourceData}, {"cache/daguerre/lib", sourceCache}, {"usr/lib/daguerre", sourceSystem},
	} {
		for _, v := range []string{"cuda", "vulkan", "cpu"} {
			dir := filepath.FromSlash(strings.Replace(place.dir, "%", v, 1))
			want = append(want, candidate{filepath.Join(root, dir, fileName(v)), v, place.source})
		}
	}
	require.Equal(t, want, found)

	found, err = elsewhere(root).find(Options{Variant: "cpu"})
	require.NoError(t, err)
	require.Len(t, found, 7)
	_, err = elsewhere(root).find(Options{Variant: "metal"})
	require.ErrorContains(t, err, `unknown library variant "metal"; the variants are cuda, vulkan, cpu`)
}

func TestFindFromTheExecutableOfTheTree(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "go.mod"), "module "+modulePath)
	found, err := elsewhere(root).find(Options{Variant: "cpu"})
	require.NoError(t, err)
	// Executable and working directory lead to the same build folder, which is listed once.
	require.Equal(t, []string{
		filepath.Join(root, "bin", fileName("cpu")),
		filepath.Join(root, "lib", "daguerre", fileName("cpu")),
		filepath.Join(root, "build", "cpu", fileName("cpu")),
		filepath.Join(root, "data", "daguerre", "lib", libraryVersion, fileName("cpu")),
		filepath.Join(root, "data", "daguerre", "lib", fileName("cpu")),
		filepath.Join(root, "cache", "daguerre", "lib", fileName("cpu")),
		filepath.Join(root, "usr", "lib", "daguerre", fileName("cpu")),
	}, paths(found))
}

// TestFindBesideABinOnly keeps a program in a folder such as /tmp/x from loading what somebody put into /tmp/lib.
func TestFindBesideABinOnly(t *testing.T) {
	root := t.TempDir()
	p := elsewhere(root)
	p.executable = func() (string, error) { return filepath.Join(root, "x", "daguerre"), nil }
	found, err := p.find(Options{Variant: "cpu"})
	require.NoError(t, err)
	require.NotContains(t, paths(found), filepath.Join(root, "lib", "daguerre", fileName("cpu")))
	require.Equal(t, filepath.Join(root, "x", fileName("cpu")), found[0].Path)
}

func TestDataDir(t *testing.T) {
	for _, c := range []struct {
		system string
		env    map[string]string
		want   string
	}{
		{"linux", map[string]string{"HOME": "/home/ann"}, "/home/ann/.local/share"},
		{"linux", map[string]string{"HOME": "/home/ann", "XDG_DATA_HOME": "/data"}, "/data"},
		{"linux", map[string]string{"HOME": "/home/ann", "XDG_DATA_HOME": "data"}, "/home/ann/.local/share"},
		{"linux", map[string]string{"XDG_DATA_HOME": "/data"}, "/data"},
		{"linux", map[string]string{"HOME": "relative"}, ""},
		{"linux", nil, ""},
		{"darwin", map[string]string{"HOME": "/Users/ann", "XDG_DATA_HOME": "/data"}, "/Users/ann/Library/Application Support"},
		{"windows", map[string]string{"LocalAppData": `C:\Users\ann\AppData\Local`}, `C:\Users\ann\AppData\Local`},
		{"windows", map[string]string{"HOME": "/home/ann"}, ""},
	} {
		dir, err := dataDir(c.system, func(name string) string { return c.env[name] })
		require.Equal(t, c.want, dir, "%v", c)
		require.Equal(t, c.want == "", err != nil, "%v", c)
	}
}

// TestLibraryVersion holds the version in the path of the user's folder against the library's own.
func TestLibraryVersion(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "CMakeLists.txt"))
	require.NoError(t, err)
	require.Contains(t, string(text), "project(daguerre VERSION "+libraryVersion+" ")
}

func TestFindWhereThePlacesAreUnknown(t *testing.T) {
	unknown := errors.New("unknown")
	p := elsewhere(t.TempDir())
	p.executable = func() (string, error) { return "", unknown }
	p.workDir = func() (string, error) { return "", unknown }
	p.dataDir = func() (string, error) { return "", unknown }
	p.cacheDir = func() (string, error) { return "", unknown }
	p.system = nil
	found, err := p.find(Options{})
	require.NoError(t, err)
	require.Empty(t, found)
}

func TestFindExplicitPathIsTheOnlyOne(t *testing.T) {
	root := t.TempDir()
	file := write(t, filepath.Join(root, fileName("vulkan")), "x")
	p := elsewhere(root)
	p.getenv = func(name string) string { return map[string]string{envLibrary: "/from/the/environment.so"}[name] }

	found, err := p.find(Options{})
	require.NoError(t, err)
	require.Equal(t, []candidate{{"/from/the/environment.so", "", sourceEnv}}, found)

	found, err = p.find(Options{Path: file})
	require.NoError(t, err)
	require.Equal(t, []candidate{{file, "vulkan", sourceOption}}, found)

	found, err = p.find(Options{Path: root})
	require.NoError(t, err)
	require.Equal(t, []string{
		filepath.Join(root, fileName("cuda")), filepath.Join(root, fileName("vulkan")), filepath.Join(root, fileName("cpu")),
	}, paths(found))
}

func TestOutcomesInWords(t *testing.T) {
	dir := t.TempDir()
	const abiOnly = "#include \"daguerre.h\"\nint32_t dg_abi_version(void) { return DG_ABI_VERSION; }\n"
	for name, c := range map[string]struct{ path, want, outcome string }{
		"missing file":      {filepath.Join(dir, "nowhere.so"), "", "not found"},
		"folder":            {write(t, filepath.Join(dir, "folder", "x"), "")[:len(dir)+len("/folder")], "", "not a regular file"},
		"empty file":        {write(t, filepath.Join(dir, "empty.so"), ""), "", "the file is empty"},
		"text file":         {write(t, filepath.Join(dir, "text.so"), "no ELF here"), "", "dlopen failed: "},
		"foreign library":   {bindingstest.Shared(t, dir, "foreign.so", "int other(void);\nint other(void) { return 1; }\n"), "", "has no symbol dg_abi_version: it is not libdaguerre, or of another version; rebuild it with `make`"},
		"only the version":  {bindingstest.Shared(t, dir, "abionly.so", abiOnly), "", "has no symbol dg_get_build_info"},
		"missing symbol":    {bindingstest.Fake(t, dir, "incomplete.so", "FAKE_INCOMPLETE"), "", "incomplete.so has no symbol dg_compute_release"},
		"other ABI version": {bindingstest.Fake(t, dir, "abi.so", "FAKE_ABI=999"), "", fmt.Sprintf("ABI version 999 where %d is wanted", abiVersion)},
		"other CPU":         {bindingstest.Fake(t, dir, "oldcpu.so", "FAKE_CPU_SUPPORTED=0"), "", "this CPU lacks avx512_bf16; rebuild it here with `make`"},
		"other variant":     {bindingstest.Fake(t, dir, "cpu.so"), "cuda", "is the cpu variant where cuda is wanted"},
	} {
		t.Run(name, func(t *testing.T) {
			lib, attempts := try([]candidate{{Path: c.path, Source: sourceOption}}, c.want)
			require.Nil(t, lib)
			require.Len(t, attempts, 1)
			require.False(t, attempts[0].OK)
			require.Contains(t, attempts[0].Outcome, c.outcome)
		})
	}
}

func TestSymbolErrorNamesSymbolAndLibrary(t *testing.T) {
	path := bindingstest.Fake(t, t.TempDir(), "incomplete.so", "FAKE_INCOMPLETE")
	_, err := open(candidate{Path: path}, "")
	var missing *symbolError
	require.ErrorAs(t, err, &missing)
	require.Equal(t, "dg_compute_release", missing.symbol)
	require.Equal(t, path, missing.library)
	require.Error(t, missing.err)
}

// variants puts stand-ins of the three variants into a folder. GPU variants list gpus devices beside the CPU.
func variants(t *testing.T, cudaDefines, vulkanDefines []string) []candidate {
	t.Helper()
	dir := t.TempDir()
	bindingstest.Fake(t, dir, fileName("cuda"), append(cudaDefines, `FAKE_VARIANT="cuda"`)...)
	bindingstest.Fake(t, dir, fileName("vulkan"), append(vulkanDefines, `FAKE_VARIANT="vulkan"`)...)
	bindingstest.Fake(t, dir, fileName("cpu"))
	files, err := elsewhere(dir).find(Options{Path: dir})
	require.NoError(t, err)
	return files
}

func TestBestVariantThatWorks(t *testing.T) {
	t.Run("a GPU library with a GPU", func(t *testing.T) {
		lib, attempts := try(variants(t, []string{"FAKE_ABI=999"}, []string{"FAKE_DEVICES=2"}), "")
		require.Equal(t, "vulkan", lib.Variant())
		require.Len(t, attempts, 2)
		require.Contains(t, attempts[0].Outcome, "ABI version 999")
		require.True(t, attempts[1].OK)
		require.Equal(t, attempts, lib.Attempts())
	})
	t.Run("GPU libraries without a GPU", func(t *testing.T) {
		lib, attempts := try(variants(t, nil, nil), "")
		require.Equal(t, "cpu", lib.Variant())
		require.Equal(t, "works, but finds no GPU on this machine", attempts[0].Outcome)
		require.Equal(t, "loaded", attempts[2].Outcome)
	})
	t.Run("asked for by name without a GPU", func(t *testing.T) {
		lib, _ := try(variants(t, nil, nil)[:1], "cuda")
		require.Equal(t, "cuda", lib.Variant())
	})
	t.Run("nothing but GPU libraries without a GPU", func(t *testing.T) {
		lib, attempts := try(variants(t, []string{"FAKE_CPU_SUPPORTED=0"}, nil)[:2], "")
		require.Equal(t, "vulkan", lib.Variant())
		require.False(t, attempts[0].OK)
		require.True(t, attempts[1].OK)
		require.Contains(t, attempts[1].Outcome, "loaded for its CPU backend")
	})
}

func TestLoadErrorListsEverything(t *testing.T) {
	dir := t.TempDir()
	broken := write(t, filepath.Join(dir, fileName("cpu")), "no ELF here")
	_, err := OpenFile(broken)
	require.ErrorIs(t, err, ErrNoLibrary)
	var load *LoadError
	require.ErrorAs(t, err, &load)
	require.Len(t, load.Attempts, 1)
	for _, want := range []string{broken, "(option)", "dlopen failed", "`make`", "DAGUERRE_LIBRARY"} {
		require.Contains(t, err.Error(), want)
	}
	forced := &LoadError{Variant: "vulkan", Attempts: load.Attempts}
	require.Contains(t, forced.Error(), "of variant vulkan")
	require.Contains(t, forced.Error(), "`make vulkan`")
}

// TestLoadErrorTellsWhatHelps holds the message to a line for each folder and three remedies.
func TestLoadErrorTellsWhatHelps(t *testing.T) {
	root := t.TempDir()
	t.Setenv("XDG_DATA_HOME", filepath.Join(root, "data"))
	broken := write(t, filepath.Join(root, "bin", fileName("vulkan")), "no ELF here")
	files, err := elsewhere(root).find(Options{})
	require.NoError(t, err)
	lib, attempts := try(files, "")
	require.Nil(t, lib)
	require.Len(t, attempts, len(files))
	message := (&LoadError{Attempts: attempts}).Error()
	lines := strings.Split(message, "\n")
	require.Equal(t, "no usable libdaguerre; tried:", lines[0])
	all := strings.Replace(fileName("*"), "*", "{cuda,vulkan,cpu}", 1)
	require.Equal(t, "  "+filepath.Join(root, "bin")+" (beside the executable): no "+all, lines[1])
	require.True(t, strings.HasPrefix(lines[2], "  "+broken+" (beside the executable): dlopen failed"), lines[2])
	for _, source := range []string{sourcePrefix, sourceData, sourceCache, sourceSystem} {
		require.Contains(t, message, "("+source+"): no "+all)
	}
	require.Equal(t, []string{
		"Any of these helps:",
		"  install it: `daguerre install`, or install.Ensure in a Go program, or `make install` in the source tree; or put " +
			fileName("cpu") + " into " +
			filepath.Join(root, "data", "daguerre", "lib", libraryVersion),
		"  name it: set DAGUERRE_LIBRARY, or Library of pipeline.Config, to the file or its folder",
		"  build it: `make` in the source tree",
	}, lines[len(lines)-4:])
	require.NotContains(t, message, "Nothing else was tried")

	require.Contains(t, (&LoadError{Variant: "vulkan"}).Error(), "`daguerre install --variant vulkan`")

	one := Attempt{candidate: candidate{Path: "/libdaguerre-cpu.so", Variant: "cpu", Source: sourceEnv}, Outcome: outcomeNotFound}
	require.Contains(t, (&LoadError{Attempts: []Attempt{one}}).Error(),
		"\n  /libdaguerre-cpu.so ($DAGUERRE_LIBRARY): not found\nNothing else was tried, because DAGUERRE_LIBRARY is set.\n")
}

func TestOneLibraryPerProcess(t *testing.T) {
	dir := t.TempDir()
	good := bindingstest.Fake(t, dir, fileName("cpu"))
	other := bindingstest.Fake(t, dir, "other.so")
	loaded.Lock()
	before := loaded.lib
	loaded.lib = nil
	loaded.Unlock()
	t.Cleanup(func() {
		loaded.Lock()
		loaded.lib = before
		loaded.Unlock()
	})

	_, err := Load(Options{Path: filepath.Join(dir, "nowhere.so")})
	require.ErrorIs(t, err, ErrNoLibrary) // and the next call may still succeed
	lib, err := Load(Options{Path: good})
	require.NoError(t, err)
	require.Equal(t, good, lib.Path())
	link := filepath.Join(dir, "link.so")
	require.NoError(t, os.Symlink(good, link))
	for _, o := range []Options{{}, {Path: good}, {Path: dir}, {Path: link}, {Variant: "cpu"}} {
		again, err := Load(o)
		require.NoError(t, err)
		require.Same(t, lib, again)
	}
	for _, o := range []Options{{Path: other}, {Variant: "vulkan"}} {
		_, err := Load(o)
		require.ErrorIs(t, err, ErrUnsupported)
		require.Contains(t, err.Error(), "loaded already")
	}
}

func TestBuildInfo(t *testing.T) {
	lib := fake(t)
	info := lib.BuildInfo()
	require.Equal(t, "cpu", info.Variant.String())
	require.Equal(t, "fake", info.Engine.String())
	require.Equal(t, "avx2 avx512_bf16 llamafile", info.Features.String())
	require.EqualValues(t, 1, info.CPUSupported)
	require.True(t, strings.HasSuffix(lib.Attempts()[0].String(), "(option): loaded"))
}

// fake opens the stand-in library.
func fake(t *testing.T, defines ...string) *Library {
	t.Helper()
	lib, err := OpenFile(bindingstest.Fake(t, t.TempDir(), "fake.so", defines...))
	require.NoError(t, err)
	return lib
}
