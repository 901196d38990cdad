package output

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/daguerre-go/daguerre/internal/identity"
)

// Inputs are what a run's pictures depend on, by name: files, and whatever else is not part of what was asked. The values tell one version
// from another.
type Inputs map[string]string

// smallInput is the size up to which a file is known by its contents: it may be copied or written anew. Larger ones are known by their size
// and the times of their last changes.
const smallInput = 1 << 20

// AddFile adds a file as it is now. One that is there already stays as it was; a folder is none.
func (in Inputs) AddFile(path string) error {
	if _, ok := in[path]; ok {
		return nil
	}
	id, err := identity.Of(path)
	if errors.Is(err, fs.ErrNotExist) {
		in[path] = "none"
		return nil
	}
	if err != nil {
		return err
	}
	st, err := os.Stat(path)
	if err != nil || st.IsDir() {
		return err
	}
	in[path] = fmt.Sprintf("%d bytes, %d, %d", id.Size, id.Modified, id.Changed)
	if !st.Mode().IsRegular() || id.Size > smallInput {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	in[path] = hex.EncodeToString(sum[:])
	return nil
}

// Changed lists the names of what differs from what was before, in order.
func (in Inputs) Changed(before Inputs) (names []string) {
	for name, value := range in {
		if before[name] != value {
			names = append(names, name)
		}
	}
	for name := range before {
		if _, ok := in[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Fingerprint is a short name for values: equal ones in the same order have equal names.
func Fingerprint(values ...any) (string, error) {
	sum := sha256.New()
	enc := json.NewEncoder(sum)
	for _, v := range values {
		if err := enc.Encode(v); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
