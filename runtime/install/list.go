package install

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend/native"
)

// Installed is a version in the user's data folder.
type Installed struct {
	Version  string   `json:"version"`
	Folder   string   `json:"folder"`
	Variants []string `json:"variants"`
	Bytes    int64    `json:"bytes"`
	Current  bool     `json:"current"` // it is of this program's version
}

// versionName is what the folders of versions are called.
var versionName = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+([-+.][0-9A-Za-z.+-]+)?$`)

// List lists the versions in the user's data folder, in the order of their names. It loads nothing.
func List() ([]Installed, error) {
	dir, err := native.UserFolder()
	if err != nil {
		return nil, err
	}
	return listIn(filepath.Dir(dir))
}

func listIn(root string) ([]Installed, error) {
	entries, err := os.ReadDir(root)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Installed
	for _, e := range entries {
		if !e.IsDir() || !versionName.MatchString(e.Name()) {
			continue
		}
		i := Installed{Version: e.Name(), Folder: filepath.Join(root, e.Name()), Current: e.Name() == Version}
		err := filepath.WalkDir(i.Folder, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			i.Bytes += info.Size()
			if v := libraryVariant(d.Name()); v != "" && !slices.Contains(i.Variants, v) {
				i.Variants = append(i.Variants, v)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		list = append(list, i)
	}
	return list, nil
}

// Prune removes the libraries of other versions from the user's data folder, and what interrupted installations left. It returns what it
// removed. Programs of those versions that run keep the library that they loaded.
func Prune(ctx context.Context) ([]Installed, error) {
	dir, err := native.UserFolder()
	if err != nil {
		return nil, err
	}
	return pruneIn(ctx, filepath.Dir(dir))
}

func pruneIn(ctx context.Context, root string) ([]Installed, error) {
	list, err := listIn(root)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(root); os.IsNotExist(err) {
		return nil, nil
	}
	unlock, err := lockFolder(ctx, root, func() {})
	if err != nil {
		return nil, err
	}
	defer unlock()
	sweep(root)
	if err := os.RemoveAll(filepath.Join(root, partsName)); err != nil {
		return nil, err
	}
	var removed []Installed
	for _, i := range list {
		if i.Current {
			continue
		}
		if err := os.RemoveAll(i.Folder); err != nil {
			return removed, fmt.Errorf("version %s was not removed: %w", i.Version, err)
		}
		removed = append(removed, i)
	}
	return removed, nil
}

// libraryVariant is the variant that the name of a library's file tells: of libdaguerre-cpu.so, libdaguerre-cpu-avx2.so,
// daguerre-vulkan.dll. "" for other files.
func libraryVariant(name string) string {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(name, "lib"), "daguerre-")
	stem := strings.TrimSuffix(rest, filepath.Ext(rest))
	if ext := filepath.Ext(rest); !ok || ext != ".so" && ext != ".dylib" && ext != ".dll" {
		return ""
	}
	variant, _, _ := strings.Cut(stem, "-")
	if !slices.Contains(native.Variants(), variant) {
		return ""
	}
	return variant
}
