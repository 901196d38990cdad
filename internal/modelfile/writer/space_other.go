//go:build !linux && !darwin && !windows

package writer

import (
	"errors"
	"syscall"
)

// CheckSpace cannot ask here; a full disk is reported by the write that fails.
func CheckSpace(string, int64) error { return nil }

// full reports whether a write failed because the disk is full.
func full(err error) bool { return errors.Is(err, syscall.ENOSPC) }
