package models

import (
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
)

// checkBins refuses a detector whose distances are not means over 0, 1, 2, ... cells. All published ones' are.
func checkBins(path string) error {
	f, err := modelfile.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for _, x := range f.Tensors {
		if !strings.HasSuffix(x.Name, ".dfl.conv.weight") {
			continue
		}
		values, err := f.ReadFloat32(x.Name)
		if err != nil {
			return err
		}
		for i, v := range values {
			if v != float32(i) {
				return fmt.Errorf("%s: %w: %s is %v in place %d, where distances in cells count from 0", path, ErrUnsupported,
					x.Name, v, i)
			}
		}
	}
	return nil
}
