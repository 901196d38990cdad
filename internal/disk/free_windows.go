package disk

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/windows"
)

// Free returns the bytes this user may still write in dir, by the quota too.
func Free(dir string) (int64, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, fmt.Errorf("%s: cannot tell the free disk space: %w", dir, err)
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, fmt.Errorf("%s: cannot tell the free disk space: %w", dir, err)
	}
	return int64(min(free, 1<<63-1)), nil
}

// Full reports whether a write failed because the disk is full, or the user's share of it.
func Full(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) || errors.Is(err, syscall.ENOSPC)
}
