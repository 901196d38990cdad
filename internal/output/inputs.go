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
	"github.com/daguerre-go/daguerre/internal/regular"
)

// Inputs are the things that a run's pictures depend on beside the request: files and others, by name. Two versions of an input have
// different values.
type Inputs map[string]string

// smallInput is the largest size for which a file is known by its contents; such a file may be copied or written again. A larger file is
// known by its size and the times of its last changes.
const smallInput = 1 << 20

// AddFile adds a file as it is now. It does nothing for a file that was added before, and for a folder.
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
	data, err := regular.ReadFile(path, smallInput)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	in[path] = hex.EncodeToString(sum[:])
	return nil
}

// Changed lists the names of inputs that differ from earlier ones, in order.
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
