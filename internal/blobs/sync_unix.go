//go:build !windows

package blobs

import (
	"errors"
	"os"
)

// syncFolder has the disk take the names in a folder.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
