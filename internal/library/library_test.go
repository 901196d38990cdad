package library

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// adapters is a Library as that of adapters is.
func adapters(dirs ...string) *Library {
	return New(Options{Directories: dirs, Setting: "lora_directories", What: "adapters",
		Extensions: []string{".safetensors", ".pt", ".pth", ".ckpt", ".bin"},
		Inside:     []string{"pytorch_lora_weights.safetensors", "adapter_model.safetensors", "adapter_model.bin"}})
}

// plant makes empty files below a folder.
func plant(t testing.TB, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte{1}, 0o644))
	}
}

func TestResolve(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	plant(t, one, "Ink.safetensors", "style/ink-wash.pt", "style/oil.ckpt", "people/oil.safetensors",
		"both.pt", "both.safetensors", "notes.txt",
		".hidden.safetensors",
		"anna.safetensors", "annabel.safetensors", "lcm/pytorch_lora_weights.safetensors")
	plant(t, two, "ink.safetensors", "Gouache.bin", "second.pth", "both.safetensors")
	lib := adapters(one, two)
	for name, want := range map[string]string{
		"ink":                                  filepath.Join(two, "ink.safetensors"), // the exact name goes before another case
		"Ink":                                  filepath.Join(one, "Ink.safetensors"),
		"INK":                                  filepath.Join(one, "Ink.safetensors"), // the first folder
		"style/ink-wash":                       filepath.Join(one, "style/ink-wash.pt"),
		"ink-wash":                             filepath.Join(one, "style/ink-wash.pt"),
		"style/oil":                            filepath.Join(one, "style/oil.ckpt"),
		"gouache":                              filepath.Join(two, "Gouache.bin"),
		"gou":                                  filepath.Join(two, "Gouache.bin"), // the beginning of one only
		"sec":                                  filepath.Join(two, "second.pth"),
		"both":                                 filepath.Join(one, "both.safetensors"), // by extension, then by folder
		"both.pt":                              filepath.Join(one, "both.pt"),
		"anna":                                 filepath.Join(one, "anna.safetensors"), // not ambiguous: it is exact
		"lcm":                                  filepath.Join(one, "lcm/pytorch_lora_weights.safetensors"),
		filepath.Join(one, "anna"):             filepath.Join(one, "anna.safetensors"),
		filepath.Join(two, "second.pth"):       filepath.Join(two, "second.pth"),
		filepath.Join(one, "lcm"):              filepath.Join(one, "lcm/pytorch_lora_weights.safetensors"),
		" " + filepath.Join(one, "both") + " ": filepath.Join(one, "both.safetensors"),
	} {
		path, err := lib.Resolve(name)
		require.NoError(t, err, name)
		assert.Equal(t, want, path, name)
	}

	_, err := lib.Resolve("oil")
	require.ErrorIs(t, err, ErrAmbiguous)
	assert.ErrorContains(t, err, filepath.Join(one, "people/oil.safetensors"))
	assert.ErrorContains(t, err, filepath.Join(one, "style/oil.ckpt"))
	_, err = lib.Resolve("ann")
	var e *Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, Error{Kind: ErrAmbiguous, Name: "ann", Message: e.Message, Candidates: []string{filepath.Join(one, "anna.safetensors"),
		filepath.Join(one, "annabel.safetensors")}}, *e)
	for _, name := range []string{"nothing", "hidden", "notes", "", "Gouache.safetensors"} {
		_, err := lib.Resolve(name)
		require.ErrorIs(t, err, ErrNotFound, name)
	}
	_, err = lib.Resolve("uache")
	assert.ErrorContains(t, err, "there is Gouache")
	_, err = lib.Find(filepath.Join(two, "second.pth"))
	require.ErrorIs(t, err, ErrNotFound, "names in prompts open no paths")
	_, err = adapters().Resolve("x")
	assert.ErrorContains(t, err, "lora_directories")
	_, err = adapters(filepath.Join(one, "missing")).Resolve("x")
	require.ErrorIs(t, err, ErrNotFound)
}

func TestSymbolicLinks(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	plant(t, dir, "a/one.safetensors")
	plant(t, outside, "two.safetensors")
	for link, target := range map[string]string{"a/up": dir, "a/self": "self", "loop1": "loop2", "loop2": "loop1", "out": outside,
		"a/again": filepath.Join(dir, "a"), "dangling.safetensors": "nowhere", "three.safetensors": filepath.Join(outside, "two.safetensors")} {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, link)))
	}
	files, err := adapters(dir).List()
	require.NoError(t, err)
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	assert.ElementsMatch(t, []string{"a/one", "out/two", "three"}, names)
}

// TestTenThousandFiles lists and resolves in time, and remembers.
func TestTenThousandFiles(t *testing.T) {
	dir := t.TempDir()
	for i := range 100 {
		require.NoError(t, os.Mkdir(filepath.Join(dir, fmt.Sprintf("d%02d", i)), 0o755))
		for j := range 100 {
			require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("d%02d/a%d.safetensors", i, 100*i+j)), nil, 0o644))
		}
	}
	old := time.Now().Add(-time.Hour)
	for i := range 100 {
		require.NoError(t, os.Chtimes(filepath.Join(dir, fmt.Sprintf("d%02d", i)), old, old))
	}
	require.NoError(t, os.Chtimes(dir, old, old))
	lib := adapters(dir)
	began := time.Now()
	path, err := lib.Resolve("A7654")
	first := time.Since(began)
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(dir, "d76/a7654.safetensors"), path)
	walked := lib.trees[dir].walked
	began = time.Now()
	_, err = lib.Resolve("a12")
	require.NoError(t, err)
	t.Logf("10,000 files: %v, then %v", first.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	assert.Equal(t, walked, lib.trees[dir].walked, "nothing changed, so nothing is read again")
	assert.Less(t, first, time.Minute)

	plant(t, dir, "d40/new.pt")
	_, err = lib.Resolve("new")
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(dir, "d40/new.pt")))
	_, err = lib.Resolve("new")
	require.ErrorIs(t, err, ErrNotFound)
}

// TestMissingFolder: one folder that cannot be read takes nothing from the others.
func TestMissingFolder(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, "a.safetensors")
	lib := adapters(filepath.Join(dir, "missing"), filepath.Join(dir, "a.safetensors"), dir)
	files, err := lib.List()
	require.ErrorIs(t, err, ErrNotFound)
	assert.Len(t, files, 1)
	var e *Error
	require.ErrorAs(t, err, &e)
	assert.ErrorContains(t, err, "is no folder; name the folder that the adapters are in")
	_, err = lib.Resolve("a")
	require.NoError(t, err)
}

// TestFoldersAndFirst: folders that stand for a file, any extension, and the first of several, as ControlNets are found.
func TestFoldersAndFirst(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, "b/canny/config.json", "b/canny/model.safetensors", "c/canny.gguf", "depth.pth", "old/depth.pth", "plain/x.safetensors",
		"tile.v2.safetensors", "scribble-a.pth", "scribble-b.pth")
	lib := New(Options{Directories: []string{dir}, Setting: "controlnet_directories", What: "ControlNets", First: true,
		Folder: func(path string) bool {
			_, err := os.Stat(filepath.Join(path, "config.json"))
			return err == nil
		}})
	for name, want := range map[string]string{
		"canny":                       "b/canny",
		"CANNY.gguf":                  "c/canny.gguf",
		"Depth":                       "depth.pth",
		"tile.v2":                     "tile.v2.safetensors",
		"tile":                        "tile.v2.safetensors",
		"x":                           "plain/x.safetensors",
		filepath.Join(dir, "b/canny"): "b/canny",
	} {
		path, err := lib.Resolve(name)
		require.NoError(t, err, name)
		assert.Equal(t, filepath.Join(dir, want), path, name)
	}
	_, err := lib.Resolve("scribble")
	require.ErrorIs(t, err, ErrAmbiguous, "the first of several is no answer to half a name")
	_, err = lib.Resolve(filepath.Join(dir, "plain"))
	require.ErrorIs(t, err, ErrNotFound)
	assert.ErrorContains(t, err, "ControlNets in "+dir)
}

func TestFlat(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, "ink.pt", "below/oil.pt", "notes.txt")
	files, err := New(Options{Directories: []string{dir}, Extensions: []string{".pt"}, Flat: true}).List()
	require.NoError(t, err)
	require.Len(t, files, 1)
	assert.Equal(t, filepath.Join(dir, "ink.pt"), files[0].Path)
}
