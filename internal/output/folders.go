package output

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"unicode/utf8"
)

// missingFolders lists the folders of a path that are not there, the outermost first.
func missingFolders(dir string) (missing []string) {
	for dir = filepath.Clean(dir); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			break
		}
		missing = append(missing, dir)
	}
	slices.Reverse(missing)
	return missing
}

// Check makes sure that a file can be made under a name. It is called before the work, so that nothing fails after it. It leaves nothing
// behind: folders that it makes for the test are removed again.
func (w *Writer) Check(path string) (err error) {
	missing := missingFolders(filepath.Dir(path))
	defer func() {
		for _, dir := range slices.Backward(missing) {
			_ = os.Remove(dir) // unless somebody has put something there
		}
	}()
	return w.Prepare(path)
}

// checkName refuses a name that the system does not take, such as one that is too long for it, or one below a file.
func checkName(path string) error {
	if err := checkSystem(path); err != nil {
		return err
	}
	if _, err := os.Lstat(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("output cannot be written: %w; choose another with -o", err)
	}
	return nil
}

// numbered is the n-th name for a file. If the number would make the name too long, the stem is cut.
func numbered(stem, ext string, n int) string {
	if n == 1 {
		return stem + ext
	}
	suffix := fmt.Sprintf("-%d%s", n, ext)
	dir, base := filepath.Split(stem)
	for len(base) > 1 && len(base)+len(suffix) > maxNameBytes {
		_, size := utf8.DecodeLastRuneInString(base)
		base = base[:len(base)-size]
	}
	return dir + base + suffix
}
