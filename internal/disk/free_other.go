//go:build !linux && !darwin && !windows

package disk

import (
	"errors"
	"math"
	"syscall"
)

// Free cannot ask here: any number is free. A full disk is reported by the write that fails.
func Free(string) (int64, error) { return math.MaxInt64, nil }

// Full reports whether a write failed because the disk is full, or the user's share of it.
func Full(err error) bool { return errors.Is(err, syscall.ENOSPC) }
