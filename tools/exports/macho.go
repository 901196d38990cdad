package main

import (
	"debug/macho"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Commands of mach-o/loader.h that debug/macho leaves as bytes. In each of them stands where the trie of exports lies in the file.
const (
	dyldInfo        = 0x22
	dyldInfoOnly    = 0x80000022
	dyldExportsTrie = 0x80000033
)

const weakDefinition = 0x04 // a flag of mach-o/loader.h

// ofCompiler are names that are no leak: two places in the file itself, which zig's linker exports from each library, and C++'s operators
// new and delete. Those are weak: C++ lets a program put its own in their place, in all of its libraries at once.
var ofCompiler = regexp.MustCompile(`^(_mh_dylib_header|__dso_handle|weak _Z(nw|na|dl|da)[A-Za-z0-9_]*)$`)

// machoExports reads the trie of exports, which the loader of macOS looks names up in. It does not look into the table of symbols, which
// `strip` empties, and where a symbol may be called external that others cannot find.
func machoExports(path string) ([]string, error) {
	f, err := macho.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	for _, load := range f.Loads {
		raw := load.Raw()
		at := 8 // of offset and size in the command
		switch f.ByteOrder.Uint32(raw) {
		case dyldInfo, dyldInfoOnly:
			at = 40
		case dyldExportsTrie:
		default:
			continue
		}
		if len(raw) < at+8 {
			return nil, errors.New("the command that names the exports is cut off")
		}
		trie, err := readAt(path, int64(f.ByteOrder.Uint32(raw[at:])), int64(f.ByteOrder.Uint32(raw[at+4:])))
		if err != nil {
			return nil, fmt.Errorf("the trie of exports: %w", err)
		}
		names, err := trieNames(trie)
		return slices.DeleteFunc(names, func(s string) bool { return ofCompiler.MatchString(s) }), err
	}
	return nil, errors.New("no trie of exports")
}

func readAt(path string, offset, size int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return io.ReadAll(io.NewSectionReader(f, offset, size))
}

// trieNames returns the names in a trie, with "weak " before those that others may replace. A node has the size of what it says of a symbol
// (0 where no name ends), that many bytes, flags first, the number of its children, and for each child the letters that lead to it, a zero
// and the place of its node.
func trieNames(trie []byte) ([]string, error) {
	if len(trie) == 0 {
		return nil, nil
	}
	var names []string
	seen := map[uint64]bool{}
	var walk func(at uint64, prefix string) error
	walk = func(at uint64, prefix string) error {
		if at >= uint64(len(trie)) || seen[at] {
			return fmt.Errorf("the trie of exports leads to byte %d of %d, or a second time there", at, len(trie))
		}
		seen[at] = true
		node := trie[at:]
		size, n := binary.Uvarint(node)
		if n <= 0 || size >= uint64(len(node)-n) {
			return errors.New("the trie of exports is cut off")
		}
		if size > 0 {
			name := strings.TrimPrefix(prefix, "_")
			if node[n]&weakDefinition != 0 {
				name = "weak " + name
			}
			names = append(names, name)
		}
		node = node[n+int(size):]
		children := node[0]
		node = node[1:]
		for range children {
			letters, rest, ok := strings.Cut(string(node), "\x00")
			place, n := binary.Uvarint([]byte(rest))
			if !ok || n <= 0 {
				return errors.New("a branch of the trie of exports is cut off")
			}
			if err := walk(place, prefix+letters); err != nil {
				return err
			}
			node = node[len(letters)+1+n:]
		}
		return nil
	}
	return names, walk(0, "")
}
