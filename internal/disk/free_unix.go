//go:build linux || darwin

package disk

import (
	"errors"
	"fmt"
	"syscall"
)

// Free returns the bytes an ordinary user may still write in dir.
func Free(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("%s: cannot tell the free disk space: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// Full reports whether a write failed because the disk is full, or the user's share of it.
func Full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
