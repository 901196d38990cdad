package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// crates makes a folder as cargo vendors it, and a pin of it.
func crates(t *testing.T) (folder, pin string) {
	t.Helper()
	folder = t.TempDir()
	for crate, files := range map[string]map[string]string{
		"ggml-crate": {"ggml/CMakeLists.txt": "project(ggml)", "ggml/src/ggml.c": "int x;", "LICENSE": "MIT"},
		"sd-crate":   {"src/vocab.hpp": "merges", "LICENSE": "MIT too"},
	} {
		list := map[string]string{}
		for name, text := range files {
			put(t, filepath.Join(folder, crate, name), text)
			list[name] = fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
		}
		text, err := json.Marshal(map[string]any{"files": list, "package": "of the crate"})
		require.NoError(t, err)
		put(t, filepath.Join(folder, crate, listName), string(text))
	}
	sums, err := sumTree(folder)
	require.NoError(t, err)
	pin = filepath.Join(t.TempDir(), "tree.sha256")
	put(t, pin, sums.hash()+"\n")
	return folder, pin
}

func put(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

func TestWrongTrees(t *testing.T) {
	for _, test := range []struct {
		name string
		harm func(folder string) error
		want string // "": the tree passes
	}{
		{"as vendored", func(string) error { return nil }, ""},
		{"a file beside the crates", func(d string) error { return os.WriteFile(filepath.Join(d, ".lock"), nil, 0o644) }, ""},
		{"changed", func(d string) error {
			return os.WriteFile(filepath.Join(d, "ggml-crate/ggml/src/ggml.c"), []byte("int y;"), 0o644)
		},
			"ggml-crate/ggml/src/ggml.c was changed, the first of 1 such files"},
		{"missing", func(d string) error { return os.RemoveAll(filepath.Join(d, "ggml-crate/ggml")) },
			"ggml-crate/ggml/CMakeLists.txt is missing, the first of 2 such files"},
		{"added", func(d string) error { return os.WriteFile(filepath.Join(d, "sd-crate/src/evil.h"), nil, 0o644) },
			"sd-crate/src/evil.h does not belong there, the first of 1 such files"},
		{"a link", func(d string) error { return os.Symlink("LICENSE", filepath.Join(d, "sd-crate/link")) }, "is no regular file"},
		{"a crate is missing", func(d string) error { return os.RemoveAll(filepath.Join(d, "sd-crate")) }, "sources of another version"},
		{"changed, and listed so", func(d string) error {
			text := []byte(`{"files":{"LICENSE":"` + fmt.Sprintf("%x", sha256.Sum256([]byte("mine"))) + `"}}`)
			if err := os.WriteFile(filepath.Join(d, "sd-crate", listName), text, 0o644); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(d, "sd-crate/LICENSE"), []byte("mine"), 0o644)
		}, "sources of another version"},
		{"nothing at all", func(d string) error {
			return errors.Join(os.RemoveAll(filepath.Join(d, "sd-crate")), os.RemoveAll(filepath.Join(d, "ggml-crate")))
		}, "holds no crates"},
	} {
		t.Run(test.name, func(t *testing.T) {
			folder, pin := crates(t)
			require.NoError(t, test.harm(folder))
			err := run(folder, pin, false, "")
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.want)
			archived := filepath.Join(t.TempDir(), "x.tar.gz")
			require.Error(t, run(folder, pin, false, archived), "a wrong tree is not archived")
			assert.NoFileExists(t, archived)
		})
	}
}

// TestArchiveIsTheSameEverywhere: two folders with the same tree give the same bytes.
func TestArchiveIsTheSameEverywhere(t *testing.T) {
	var sums []string
	for range 2 {
		folder, pin := crates(t)
		file := filepath.Join(t.TempDir(), "x.tar.gz")
		require.NoError(t, run(folder, pin, false, file))
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		sums = append(sums, fmt.Sprintf("%x", sha256.Sum256(text)))
	}
	assert.Equal(t, sums[0], sums[1])
}
