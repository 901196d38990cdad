package native

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"sync"

	"github.com/daguerre-go/daguerre/bindings"
)

// builds are the sums of libraries' files, by their path: each was read once, and stays loaded to the end of the process.
var builds sync.Map

// libraryBuild tells a build of the library from every other: the sum of its file. "": it cannot be read.
func libraryBuild(lib *bindings.Library) string {
	path := lib.Path()
	if sum, ok := builds.Load(path); ok {
		return sum.(string)
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // it was only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return ""
	}
	sum := hex.EncodeToString(h.Sum(nil))
	builds.Store(path, sum)
	return sum
}
