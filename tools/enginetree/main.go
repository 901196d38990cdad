// Command enginetree checks the engine's sources by one hash over the whole tree, whoever brought them: cargo, an archive or a folder.
//
//	go run ./tools/enginetree -check build/engine                 # against third_party/engine/tree.sha256
//	go run ./tools/enginetree -print build/engine                 # the hash, after the pins have changed
//	go run ./tools/enginetree -archive sources.tar.gz build/engine
//
// The hash is that of the lines "SHA-256  path", sorted by path, as sha256sum would print them. Each crate also carries cargo's own list of
// its files, .cargo-checksum.json. It is no part of the hash, but where it agrees with the hash it tells which file is a wrong one.
package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/tools/internal/archive"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// listName is cargo's list of a crate's files.
const listName = ".cargo-checksum.json"

func main() {
	pin := flag.String("pin", "third_party/engine/tree.sha256", "the file that holds the hash")
	check := flag.Bool("check", false, "fail where the tree is another than the pin's")
	show := flag.Bool("print", false, "print the tree's hash")
	file := flag.String("archive", "", "check the tree, then write it as this .tar.gz")
	flag.Parse()
	if flag.NArg() != 1 || *check == *show && *file == "" {
		flag.Usage()
		os.Exit(2)
	}
	tool.Exit("enginetree", run(flag.Arg(0), *pin, *show, *file))
}

func run(folder, pin string, show bool, file string) error {
	sums, err := sumTree(folder)
	if err != nil {
		return err
	}
	if show {
		fmt.Println(sums.hash())
		return nil
	}
	text, err := os.ReadFile(pin)
	if err != nil {
		return err
	}
	wanted := strings.TrimSpace(string(text))
	if sums.hash() != wanted {
		return sums.difference(folder, wanted)
	}
	if file == "" {
		return nil
	}
	return pack(folder, file)
}

// tree is the sum of each file by its path, crate and all, slashes forward.
type tree map[string]string

// hash is the one hash over all files.
func (t tree) hash() string {
	paths := make([]string, 0, len(t))
	for path := range t {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	all := sha256.New()
	for _, path := range paths {
		fmt.Fprintf(all, "%s  %s\n", t[path], path)
	}
	return fmt.Sprintf("%x", all.Sum(nil))
}

// sumTree reads all files of the crates in a folder. What lies beside the crates, and cargo's lists, do not count.
func sumTree(folder string) (tree, error) {
	sums := tree{}
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(folder, path)
		switch {
		case err != nil:
			return err
		case e.IsDir() || e.Name() == listName || !strings.ContainsRune(below, filepath.Separator):
			return nil
		case !e.Type().IsRegular():
			return fmt.Errorf("%s is no regular file: the engine's sources have no links", path)
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		sum := sha256.New()
		_, err = io.Copy(sum, f)
		sums[filepath.ToSlash(below)] = fmt.Sprintf("%x", sum.Sum(nil))
		return errors.Join(err, f.Close())
	})
	if err == nil && len(sums) == 0 {
		err = fmt.Errorf("%s holds no crates: folders with the engine's sources are wanted in it", folder)
	}
	return sums, err
}

// difference says which file is the first that is not the pin's.
func (t tree) difference(folder, wanted string) error {
	right, err := listedTree(folder)
	if err != nil {
		return err
	}
	if right.hash() != wanted {
		return fmt.Errorf("%s is not the engine's pinned tree, and its lists of files (%s) are not the pin's either: "+
			"these are the sources of another version; the pins are in third_party/engine/Cargo.toml", folder, listName)
	}
	paths := map[string]bool{}
	for path := range t {
		paths[path] = true
	}
	for path := range right {
		paths[path] = true
	}
	first, count := "", 0
	for path := range paths {
		if t[path] != right[path] {
			count++
			if first == "" || path < first {
				first = path
			}
		}
	}
	what := "was changed"
	switch {
	case t[first] == "":
		what = "is missing"
	case right[first] == "":
		what = "does not belong there"
	}
	return fmt.Errorf("%s is not the engine's pinned tree: %s %s, the first of %d such files", folder, first, what, count)
}

// listedTree is the tree as cargo's lists have it.
func listedTree(folder string) (tree, error) {
	lists, err := filepath.Glob(filepath.Join(folder, "*", listName))
	if err != nil {
		return nil, err
	}
	sums := tree{}
	for _, path := range lists {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var list struct{ Files map[string]string }
		if err := json.Unmarshal(text, &list); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for name, sum := range list.Files {
			sums[filepath.Base(filepath.Dir(path))+"/"+name] = sum
		}
	}
	return sums, nil
}

// pack writes the crates of a folder as an archive, below one folder.
func pack(folder, file string) error {
	work, err := os.MkdirTemp(filepath.Dir(folder), ".engine-archive")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) //nolint:errcheck // a temporary folder
	top := filepath.Join(work, "daguerre-engine")
	if err := os.Mkdir(top, 0o755); err != nil {
		return err
	}
	crates, err := filepath.Glob(filepath.Join(folder, "*", listName))
	if err != nil {
		return err
	}
	for _, list := range crates {
		crate := filepath.Dir(list)
		if err := os.CopyFS(filepath.Join(top, filepath.Base(crate)), os.DirFS(crate)); err != nil {
			return err
		}
	}
	return archive.Pack(file, top, time.Unix(0, 0).UTC())
}
