//go:build linux || darwin

package writer

import (
	"errors"
	"fmt"
	"syscall"
)

// freeSpace returns the bytes an ordinary user may still write in dir.
func freeSpace(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("%s: cannot tell the free disk space: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// full reports whether a write failed because the disk is full.
func full(err error) bool { return errors.Is(err, syscall.ENOSPC) }
