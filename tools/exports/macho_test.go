package main

import (
	"bytes"
	"debug/macho"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Two names that begin alike, as a linker writes them: "_dg_", then "open" and "close", each with two bytes of what it is.
var trie = []byte{
	0, 1, '_', 'd', 'g', '_', 0, 8, // the root: no name, one child at 8
	0, 2, 'o', 'p', 'e', 'n', 0, 23, 'c', 'l', 'o', 's', 'e', 0, 27, // hence at 23 and 27
	2, 0, 0x40, 0,
	2, 0, 0x50, 0,
}

// library writes a library for macOS that has a command with the trie, and a table of symbols with another name.
func library(t *testing.T, command uint32, trie []byte) string {
	t.Helper()
	load := []uint32{command, 16, 0, uint32(len(trie))}
	if command != dyldExportsTrie {
		load = []uint32{command, 48, 0, 0, 0, 0, 0, 0, 0, 0, 0, uint32(len(trie))}
	}
	load[1] = uint32(4 * len(load))
	const symtab, external = 2, 0x0f // a symbol of a section, N_EXT
	names := []byte("\x00_ggml_free\x00")
	header := 32 + 4*len(load) + 24
	load[len(load)-2] = uint32(header)
	symbols := header + len(trie)
	var file bytes.Buffer
	put := func(v any) { require.NoError(t, binary.Write(&file, binary.LittleEndian, v)) }
	put([]uint32{macho.Magic64, uint32(macho.CpuArm64), 0, uint32(macho.TypeDylib), 2, uint32(4*len(load) + 24), 0, 0})
	put(load)
	put([]uint32{symtab, 24, uint32(symbols), 1, uint32(symbols + 16), uint32(len(names))})
	put(trie)
	put(macho.Nlist64{Name: 1, Type: external, Sect: 1})
	put(names)
	path := filepath.Join(t.TempDir(), "libdaguerre-cpu.dylib")
	require.NoError(t, os.WriteFile(path, file.Bytes(), 0o600))
	return path
}

func TestMachOExportsAreThoseOfTheTrie(t *testing.T) {
	for _, command := range []uint32{dyldInfo, dyldInfoOnly, dyldExportsTrie} {
		names, err := exports(library(t, command, trie))
		require.NoError(t, err, "%#x", command)
		require.Equal(t, []string{"dg_open", "dg_close"}, names, "%#x", command)
	}
	for name, want := range map[string][]string{
		"___dso_handle": {}, "weak __Znwm": {}, "weak __ZdaPvSt11align_val_t": {},
		"__Znwm": {"_Znwm"}, "weak _ggml_free": {"weak ggml_free"}, "_ggml_free": {"ggml_free"},
	} {
		symbol, flags := name, byte(0)
		if after, ok := strings.CutPrefix(name, "weak "); ok {
			symbol, flags = after, weakDefinition
		}
		place := byte(len(symbol) + 4)
		one := slices.Concat([]byte{0, 1}, []byte(symbol), []byte{0, place, 2, flags, 0x40, 0})
		names, err := exports(library(t, dyldExportsTrie, one))
		require.NoError(t, err, name)
		require.ElementsMatch(t, want, names, name)
	}
	_, err := exports(library(t, 0x26, trie)) // another command
	require.ErrorContains(t, err, "no trie of exports")
}

func TestDamagedTries(t *testing.T) {
	for end := 1; end < len(trie); end++ {
		_, err := trieNames(trie[:end])
		require.Error(t, err, "the first %d bytes", end)
	}
	round := bytes.Clone(trie)
	round[7] = 0 // the root's child is the root
	_, err := trieNames(round)
	require.ErrorContains(t, err, "a second time")
	names, err := trieNames(nil)
	require.NoError(t, err)
	require.Empty(t, names)
}
