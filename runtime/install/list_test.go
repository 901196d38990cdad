package install

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestListAndPrune(t *testing.T) {
	m := newMachine(t)
	none, err := listIn(m.root)
	require.NoError(t, err)
	assert.Empty(t, none)
	none, err = pruneIn(t.Context(), m.root)
	require.NoError(t, err)
	assert.Empty(t, none)
	assert.NoDirExists(t, m.root, "nothing is made to be empty")

	library(t, m.dir(), "cpu", Version)
	library(t, filepath.Join(m.root, "0.0.1"), "cpu", "0.0.1")
	library(t, filepath.Join(m.root, "0.0.1"), "vulkan", "0.0.1")
	library(t, filepath.Join(m.root, "mine"), "cpu", "0.0.1")
	library(t, m.root, "cpu", Version)
	for _, name := range []string{partsName, stagePrefix + "1"} {
		require.NoError(t, os.Mkdir(filepath.Join(m.root, name), 0o755))
	}
	list, err := listIn(m.root)
	require.NoError(t, err)
	old := Installed{Version: "0.0.1", Folder: filepath.Join(m.root, "0.0.1"), Variants: []string{"cpu", "vulkan"},
		Bytes: int64(len("library cpu 0.0.1") + len("library vulkan 0.0.1"))}
	current := Installed{Version: Version, Folder: m.dir(), Variants: []string{"cpu"}, Bytes: int64(len("library cpu " + Version)),
		Current: true}
	assert.Equal(t, []Installed{old, current}, list)

	removed, err := pruneIn(t.Context(), m.root)
	require.NoError(t, err)
	assert.Equal(t, []Installed{old}, removed)
	assert.ElementsMatch(t, []string{Version + "/libdaguerre-cpu.so", "libdaguerre-cpu.so", "mine/libdaguerre-cpu.so"}, m.left(t),
		"what is no version stays")
	for _, name := range []string{partsName, stagePrefix + "1"} {
		assert.NoDirExists(t, filepath.Join(m.root, name))
	}
}

func TestLibraryVariant(t *testing.T) {
	for name, want := range map[string]string{
		"libdaguerre-cpu.so": "cpu", "libdaguerre-cpu-avx2.so": "cpu", "libdaguerre-vulkan.dylib": "vulkan", "daguerre-cuda.dll": "cuda",
		"daguerre-cpu-avx512.dll": "cpu", "libdaguerre-cpu.so.old": "", "libdaguerre-metal.so": "", "libother-cpu.so": "", "LICENSE": "",
		"daguerre-cpu": "",
	} {
		assert.Equal(t, want, libraryVariant(name), name)
	}
}
